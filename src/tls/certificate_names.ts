/**
 * Whether a server's certificate is for a host, by its subjectAltName (RFC 5280 §4.2.1.6, RFC 9525 §6).
 *
 * The runtime makes this check on a text, `DNS:a.test, IP Address:192.0.2.1`, in which a single name with a
 * comma in it looks like two. So the names are read here again, as they stand in the DER. A certificate
 * without the extension is left to the runtime, which then looks at the common name as OpenSSL does.
 */
import { readIpv4, readIpv6 } from "../core/ip_address.ts";

export type NameCheck = "match" | "mismatch" | "unnamed" | "malformed";

/** `host` is a name in A-labels or an address without brackets. Total: `malformed` for what is no certificate. */
export function checkCertificateName(der: Uint8Array, host: string): NameCheck {
  const [certificate] = elementsOf(der, SEQUENCE) ?? [];
  const [toBeSigned] = elementsOf(certificate, SEQUENCE) ?? [];
  const fields = elementsOf(toBeSigned, SEQUENCE);
  if (fields === null) return "malformed";
  const wrapper = fields.find((field) => field.tag === EXTENSIONS);
  if (wrapper === undefined) return "unnamed";
  const extensions = elementsOf(elementsOf(wrapper, EXTENSIONS)?.[0], SEQUENCE);
  if (extensions === null) return "malformed";
  for (const extension of extensions) {
    const parts = elementsOf(extension, SEQUENCE);
    const oid = parts?.[0];
    const value = parts?.at(-1);
    if (oid?.tag !== OBJECT_IDENTIFIER || value?.tag !== OCTET_STRING) return "malformed";
    if (!equal(oid.content, SUBJECT_ALT_NAME)) continue;
    const names = elementsOf(elementsOf(value.content, SEQUENCE)?.[0], SEQUENCE);
    if (names === null) return "malformed";
    return names.some((name) => isFor(name, host)) ? "match" : "mismatch";
  }
  return "unnamed";
}

const SEQUENCE = 0x30;
const OCTET_STRING = 0x04;
const OBJECT_IDENTIFIER = 0x06;
const EXTENSIONS = 0xa3;
const DNS_NAME = 0x82;
const IP_ADDRESS = 0x87;
/** 2.5.29.17 */
const SUBJECT_ALT_NAME = Uint8Array.of(0x55, 0x1d, 0x11);

function isFor({ tag, content }: Element, host: string): boolean {
  const address = readIpv4(host) ?? readIpv6(host);
  if (address !== null) return tag === IP_ADDRESS && equal(content, address);
  if (tag !== DNS_NAME) return false;
  const name = withoutRootDot(String.fromCharCode(...content.subarray(0, NAME_LENGTH_MAX + 2)).toLowerCase());
  const wanted = withoutRootDot(host.toLowerCase());
  if (name === wanted) return true;
  // RFC 9525 §6.3: a wildcard is the whole first label and stands for exactly one.
  const dot = wanted.indexOf(".");
  return name.startsWith("*.") && name.includes(".", 2) && dot > 0 && name.slice(1) === wanted.slice(dot);
}

const NAME_LENGTH_MAX = 253;

function withoutRootDot(name: string): string {
  return name.endsWith(".") ? name.slice(0, -1) : name;
}

function equal(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, at) => byte === other[at]);
}

interface Element {
  readonly tag: number;
  readonly content: Uint8Array;
}

/**
 * The elements inside an element with that tag (X.690 §8.1): inside the bytes themselves where it is bytes.
 * Null where the tag is another, or a length does not fit.
 */
function elementsOf(outer: Element | Uint8Array | undefined, tag: number): Element[] | null {
  if (outer === undefined) return null;
  if (!(outer instanceof Uint8Array) && outer.tag !== tag) return null;
  const bytes = outer instanceof Uint8Array ? outer : outer.content;
  const elements: Element[] = [];
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at + 1];
    if (first === undefined) return null;
    let start = at + 2;
    let length = first;
    if (first >= 0x80) {
      const octets = first - 0x80;
      if (octets === 0 || octets > 3 || start + octets > bytes.length) return null;
      length = 0;
      for (const end = start + octets; start < end; start++) length = length * 256 + bytes[start]!;
    }
    if (start + length > bytes.length) return null;
    elements.push({ tag: bytes[at]!, content: bytes.subarray(start, start + length) });
    at = start + length;
  }
  return elements;
}
