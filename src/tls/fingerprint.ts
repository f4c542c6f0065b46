/**
 * Fingerprints of TLS clients: JA3 (Salesforce, 2017) and JA4 (FoxIO, `technical_details/JA4.md`; JA4 itself
 * is under the BSD 3-Clause licence). Both leave GREASE out, which `ClientHello` has done already. The hash
 * functions are arguments and give lower-case hex.
 */
import type { ClientHello } from "./client_hello.ts";

type Digest = (text: string) => string;

/** MD5 of `version,ciphers,extensions,groups,point formats`, decimal, in the order of the wire. */
export function ja3(hello: ClientHello, md5: Digest): string {
  return md5(ja3Text(hello));
}

export function ja3Text(hello: ClientHello): string {
  return [
    String(hello.legacyVersion),
    hello.cipherSuites.join("-"),
    hello.extensions.join("-"),
    hello.groups.join("-"),
    hello.pointFormats.join("-"),
  ].join(",");
}

/** `t13d1516h2_8daaf6152771_e5627efa2ab1`: what anyone can read, then ciphers, then extensions with signature algorithms. */
export function ja4(hello: ClientHello, sha256: Digest, transport: "t"): string {
  const [head, ciphers, extensions] = ja4Parts(hello, transport);
  return `${head}_${digest12(ciphers, sha256)}_${digest12(extensions, sha256)}`;
}

/**
 * What a client's connections have in common, for telling whether it is the same client again: the JA4 of the
 * hello without what comes and goes. A session to resume (`pre_shared_key`, and `early_data` with it, RFC 8446
 * §4.2.10 and §4.2.11) is offered once there is one, a `cookie` (§4.2.2) where a server asked for it, and
 * `padding` (RFC 7685) depends on the length of the rest. Without them this is the JA4 itself, `usual`.
 */
export function lastingJa4(hello: ClientHello, usual: string, sha256: Digest, transport: "t"): string {
  if (!hello.extensions.some((type) => PASSING.has(type))) return usual;
  const extensions = hello.extensions.filter((type) => !PASSING.has(type));
  return ja4({ ...hello, extensions }, sha256, transport);
}

const PASSING: ReadonlySet<number> = new Set([0x0015, 0x0029, 0x002a, 0x002c]);

/** The unhashed form, `JA4_r`. */
export function ja4Text(hello: ClientHello, transport: "t"): string {
  return ja4Parts(hello, transport).join("_");
}

const SERVER_NAME = 0x0000;
const ALPN = 0x0010;

function ja4Parts(hello: ClientHello, transport: "t"): [head: string, ciphers: string, extensions: string] {
  const head = transport + ja4Version(hello) + (hello.extensions.includes(SERVER_NAME) ? "d" : "i") +
    twoDigits(hello.cipherSuites.length) + twoDigits(hello.extensions.length) + ja4Alpn(hello.alpn[0] ?? "");
  const ciphers = hello.cipherSuites.map(hex4).sort().join(",");
  const extensions = hello.extensions.filter((type) => type !== SERVER_NAME && type !== ALPN)
    .map(hex4).sort().join(",");
  const signatures = hello.signatureAlgorithms.map(hex4).join(",");
  return [head, ciphers, signatures === "" ? extensions : `${extensions}_${signatures}`];
}

/** "The highest value in the extension", else the protocol version of the hello. */
function ja4Version(hello: ClientHello): string {
  const offered = hello.supportedVersions ?? [];
  switch (offered.length === 0 ? hello.legacyVersion : Math.max(...offered)) {
    case 0x0304:
      return "13";
    case 0x0303:
      return "12";
    case 0x0302:
      return "11";
    case 0x0301:
      return "10";
    case 0x0300:
      return "s3";
    case 0x0002:
      return "s2";
    default:
      return "00";
  }
}

/** First and last character of the first protocol; of its hex form when either is not alphanumeric. */
function ja4Alpn(first: string): string {
  if (first === "") return "00";
  const ends = first[0]! + first[first.length - 1]!;
  if (/^[0-9A-Za-z]{2}$/.test(ends)) return ends;
  return hex2(first.charCodeAt(0))[0]! + hex2(first.charCodeAt(first.length - 1))[1]!;
}

/** An empty list is shown as such rather than as the hash of nothing. */
function digest12(text: string, sha256: Digest): string {
  return text === "" ? "000000000000" : sha256(text).slice(0, 12);
}

function twoDigits(count: number): string {
  return String(Math.min(count, 99)).padStart(2, "0");
}

function hex2(code: number): string {
  return code.toString(16).padStart(2, "0");
}

function hex4(code: number): string {
  return code.toString(16).padStart(4, "0");
}
