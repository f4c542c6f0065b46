/**
 * `application/x-www-form-urlencoded` (WHATWG URL §5.1): names and values in their order. A browser would put a
 * replacement character for what is no text; here it is `{"bin"}`, as in MsgPack, so that nothing is lost.
 */
import type { AttributeValue } from "../../core/event.ts";
import { decodeUtf8 } from "../../core/utf8.ts";
import type { ParsedValue } from "./json.ts";

/** The most fields of a form; more are a way to make decoders work. */
export const FORM_FIELDS_MAX = 4_096;

const [AMPERSAND, EQUALS, PLUS, SPACE, PERCENT] = [0x26, 0x3d, 0x2b, 0x20, 0x25];

/** `declaredText`: octets as text in the encoding that the form is declared to be in; null where they are none. */
export function parseForm(
  content: Uint8Array,
  declaredText: (octets: Uint8Array) => string | null,
): ParsedValue {
  const fields: AttributeValue[] = [];
  const textOf = (octets: Uint8Array): AttributeValue => {
    const plain = withoutEscapes(octets);
    return decodeUtf8(plain) ?? declaredText(plain) ?? { bin: plain.toBase64() };
  };
  for (let start = 0; start < content.length;) {
    const end = indexOr(content, AMPERSAND, start, content.length);
    if (end > start) {
      if (fields.length === FORM_FIELDS_MAX) {
        return { type: "error", detail: `form: more than ${FORM_FIELDS_MAX} fields` };
      }
      const equals = indexOr(content.subarray(0, end), EQUALS, start, end);
      fields.push([textOf(content.subarray(start, equals)), textOf(content.subarray(equals + 1, end))]);
    }
    start = end + 1;
  }
  return { type: "value", value: fields };
}

function indexOr(octets: Uint8Array, octet: number, start: number, otherwise: number): number {
  const index = octets.indexOf(octet, start);
  return index < 0 ? otherwise : index;
}

function withoutEscapes(octets: Uint8Array): Uint8Array {
  const plain = new Uint8Array(octets.length);
  let length = 0;
  for (let at = 0; at < octets.length; at++) {
    const octet = octets[at]!;
    const escaped = octet === PERCENT ? 16 * hexValue(octets[at + 1]) + hexValue(octets[at + 2]) : NaN;
    if (Number.isNaN(escaped)) plain[length++] = octet === PLUS ? SPACE : octet;
    else {
      plain[length++] = escaped;
      at += 2;
    }
  }
  return plain.subarray(0, length);
}

/** NaN where it is no hexadecimal digit. */
function hexValue(octet = 0): number {
  const letter = octet | 0x20;
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : NaN;
}
