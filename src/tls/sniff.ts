/**
 * Guesses what a client speaks from its first bytes, when those are not TLS: HTTP/1.x, HTTP/2 with prior
 * knowledge, or something else. Total, and the answer does not depend on how reads cut the bytes up.
 */
export type Likeness = "yes" | "no" | "more";

/** Methods in use are shorter: the longest registered one, `UPDATEREDIRECTREF`, has 17 letters. */
const METHOD_BYTES_MAX = 24;

/**
 * Does this look like the start of an HTTP/1.x request (RFC 9112 §3): a method, one space, and a target in
 * origin-form, absolute-form or `*`? A second CONNECT (a proxy behind the proxy) says `no`: what follows it
 * is not HTTP, so it is relayed as it is. `PRI` says `no`: RFC 9113 §11.6 keeps it for the HTTP/2 preface.
 */
export function looksLikeHttp(data: Uint8Array): Likeness {
  let at = 0;
  while (at < data.length && isTokenByte(data[at]!)) {
    if (++at > METHOD_BYTES_MAX) return "no";
  }
  if (at === data.length) return "more";
  if (at === 0 || data[at] !== 0x20) return "no";
  if (at === 3 && startsWith(data, "PRI")) return "no";
  const target = data.subarray(at + 1);
  if (target.length === 0) return "more";
  if (target[0] === 0x2f || target[0] === 0x2a) return "yes";
  const plain = prefixLikeness(target, "http://");
  return plain === "no" ? prefixLikeness(target, "https://") : plain;
}

/** RFC 9113 §3.4. */
export function isHttp2Preface(data: Uint8Array): Likeness {
  const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  if (!startsWith(data, preface)) return "no";
  return data.length >= preface.length ? "yes" : "more";
}

/**
 * Do these first bytes of a server look like its HTTP/2 preface, which is a SETTINGS frame (RFC 9113 §3.4)? It
 * may come before the client has said anything.
 */
export function isHttp2Settings(data: Uint8Array): Likeness {
  // Length (at most 16,384 and 6 for each setting), type, flags, stream.
  const [length0 = 0, length1 = 0, length2 = 0, type = 0x4, ...rest] = data.subarray(0, 9);
  if (length0 !== 0 || length1 > 0x40 || type !== 0x4 || rest.some((octet) => octet !== 0)) return "no";
  if (data.length < 9) return "more";
  return (length1 << 8 | length2) % 6 === 0 ? "yes" : "no";
}

/** RFC 9110 §5.6.2. */
function isTokenByte(byte: number): boolean {
  if (byte >= 0x61 && byte <= 0x7a || byte >= 0x41 && byte <= 0x5a || byte >= 0x30 && byte <= 0x39) {
    return true;
  }
  return byte > 0x20 && byte < 0x7f && "!#$%&'*+-.^_`|~".includes(String.fromCharCode(byte));
}

/** As far as both go. */
function startsWith(data: Uint8Array, text: string): boolean {
  const length = Math.min(data.length, text.length);
  for (let at = 0; at < length; at++) {
    if (data[at] !== text.charCodeAt(at)) return false;
  }
  return true;
}

/** Schemes are case-insensitive (RFC 3986 §3.1). `prefix` is lower-case ASCII. */
function prefixLikeness(data: Uint8Array, prefix: string): Likeness {
  const length = Math.min(data.length, prefix.length);
  for (let at = 0; at < length; at++) {
    const byte = data[at]!;
    if ((byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte) !== prefix.charCodeAt(at)) return "no";
  }
  return data.length >= prefix.length ? "yes" : "more";
}
