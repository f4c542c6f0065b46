/**
 * What a payload says: the last two stages of the chain, sanitizer and payload, in that order and no other. It is
 * given the whole payload, framing and codings taken off, and what its media type says of it.
 */
import type { AttributeValue } from "../../core/event.ts";
import { decodeUtf8 } from "../../core/utf8.ts";
import type { MediaType } from "../../http/media_type.ts";
import { parseForm } from "./form.ts";
import { type ParsedValue, parseJson } from "./json.ts";
import { parseMsgPack } from "./msgpack.ts";
import { guardedBy, type SanitizerRule } from "./sanitizer.ts";

export const PAYLOAD_FORMATS = ["json", "msgpack", "form", "text", "binary"] as const;
export type PayloadFormat = typeof PAYLOAD_FORMATS[number];

/** What is known of a payload before it is read. */
export interface PayloadType {
  /** `script` and `text` are text that may be JSON behind a guard; `unknown` may be anything. */
  readonly kind: "json" | "msgpack" | "form" | "script" | "text" | "binary" | "unknown";
  /** The label of the encoding; null where none is given. */
  readonly charset: string | null;
}

export type DecodedPayload =
  | {
    readonly type: "payload";
    readonly format: PayloadFormat;
    readonly sanitizer: SanitizerRule | null;
    /** Undefined for what is binary. */
    readonly value: AttributeValue | undefined;
    /** Its type was not declared. */
    readonly guessed: boolean;
  }
  | { readonly type: "error"; readonly detail: string };

const MSGPACK = /^application\/(?:(?:x-|vnd\.)?msgpack|[^/]+\+msgpack)$/;
const JSON_TYPE = /^(?:(?:application|text)\/json|[^/]+\/[^/]+\+json|application\/json-(?!seq$)[^/]+)$/;
const SCRIPT = /^(?:application|text)\/(?:x-)?(?:java|ecma)script$/;
const TEXT = /^(?:text\/.*|application\/(?:xml|graphql|(?:x-)?yaml|toml|sql)|[^/]+\/[^/]+\+(?:xml|yaml))$/;

export function payloadType(mediaType: MediaType | null): PayloadType {
  if (mediaType === null) return { kind: "unknown", charset: null };
  const { essence, parameters } = mediaType;
  return { kind: kindOf(essence), charset: parameters.get("charset") ?? null };
}

function kindOf(essence: string): PayloadType["kind"] {
  if (JSON_TYPE.test(essence)) return "json";
  if (essence === "application/x-www-form-urlencoded") return "form";
  if (SCRIPT.test(essence)) return "script";
  if (TEXT.test(essence)) return "text";
  if (MSGPACK.test(essence)) return "msgpack";
  return essence === "application/octet-stream" ? "unknown" : "binary";
}

export function decodePayload(content: Uint8Array, { kind, charset }: PayloadType): DecodedPayload {
  switch (kind) {
    case "json": {
      const text = jsonText(content, charset);
      return text === null ? { type: "error", detail: "json: it is not UTF-8" } : jsonPayload(text, false);
    }
    case "msgpack":
      return payloadOf("msgpack", parseMsgPack(content), null, false);
    case "form":
      return payloadOf("form", parseForm(content, (octets) => decodeText(octets, charset)), null, false);
    case "script":
    case "text": {
      const text = decodeText(content, charset);
      if (text === null) return BINARY;
      return sanitizedPayload(text, true) ??
        { type: "payload", format: "text", sanitizer: null, value: text, guessed: false };
    }
    case "unknown":
      return guess(content);
    case "binary":
      return BINARY;
  }
}

const BINARY: DecodedPayload = {
  type: "payload",
  format: "binary",
  sanitizer: null,
  value: undefined,
  guessed: false,
};

const octetsOf = (text: string) => new TextEncoder().encode(text);
const WHITE_SPACE = octetsOf(" \t\r\n");
/** An object, an array, or a guard before one of them. */
const JSON_STARTS = octetsOf("{[)wf/");
/** The formats of MsgPack's maps: 0x81 to 0x8f, 0xde, 0xdf. No text begins with any of them. */
const isMapFormat = (octet: number) => (octet >= 0x81 && octet <= 0x8f) || octet === 0xde || octet === 0xdf;

/** What nobody has declared is binary, unless it is a JSON object or array, or a map of MsgPack, from end to end. */
function guess(content: Uint8Array): DecodedPayload {
  let start = 0;
  while (start < content.length && WHITE_SPACE.includes(content[start]!)) start++;
  const first = content[start] ?? 0;
  if (JSON_STARTS.includes(first)) {
    const text = decodeText(content, null);
    const payload = text === null ? BINARY : jsonPayload(text, true);
    return payload.type === "error" ? BINARY : payload;
  }
  if (start > 0 || !isMapFormat(first)) return BINARY;
  const parsed = parseMsgPack(content, true);
  return parsed.type === "error" ? BINARY : payloadOf("msgpack", parsed, null, true);
}

/** Behind a guard where there is JSON behind it, else as it is. */
function jsonPayload(text: string, guessed: boolean): DecodedPayload {
  return sanitizedPayload(text, guessed) ?? payloadOf("json", parseJson(text), null, guessed);
}

function sanitizedPayload(text: string, guessed: boolean): DecodedPayload | null {
  for (const guarded of guardedBy(text)) {
    const parsed = parseJson(guarded.text);
    // A script may well be a comment and a literal; what nobody calls JSON has to be an object or an array.
    const isJson = parsed.type === "value" && (!guessed || isContainer(parsed.value));
    if (isJson) return payloadOf("json", parsed, guarded.rule, guessed);
  }
  return null;
}

function isContainer(value: AttributeValue): boolean {
  return typeof value === "object" && value !== null && !JSON.isRawJSON(value);
}

function payloadOf(
  format: PayloadFormat,
  parsed: ParsedValue,
  sanitizer: SanitizerRule | null,
  guessed: boolean,
): DecodedPayload {
  return parsed.type === "error"
    ? parsed
    : { type: "payload", format, sanitizer, value: parsed.value, guessed };
}

const BYTE_ORDER_MARK = 0xfeff;

/** Null where it is not text in this encoding, or nobody knows the encoding. UTF-8 where none is given. */
function decodeText(content: Uint8Array, charset: string | null): string | null {
  if (charset === null || charset.toLowerCase() === "utf-8") {
    const text = decodeUtf8(content);
    return text?.charCodeAt(0) === BYTE_ORDER_MARK ? text.slice(1) : text;
  }
  try {
    return new TextDecoder(charset, { fatal: true }).decode(content);
  } catch {
    return null;
  }
}

/** RFC 8259 §8.1 has UTF-8 alone, whatever is declared; there are servers that mean what they declare. */
function jsonText(content: Uint8Array, charset: string | null): string | null {
  if (charset === null) return decodeText(content, null);
  // Only of these is text in ASCII also UTF-8, and another one.
  return /^utf-?16/i.test(charset)
    ? decodeText(content, charset)
    : decodeText(content, null) ?? decodeText(content, charset);
}
