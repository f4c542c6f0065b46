/**
 * Hosts as policy compares them: lower-case A-labels without trailing dot, or an address as a number.
 *
 * An address has many spellings, and the resolver that dials it knows them all: `127.1`, `0x7f.0.0.1`,
 * `2130706433`, `::ffff:127.0.0.1`. What a host *is* decides, or a block of `127.0.0.0/8` would be
 * a matter of spelling.
 */
import { readIpv4, readIpv6 } from "../core/ip_address.ts";

/** IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2) are IPv4 here. */
export interface Address {
  readonly family: 4 | 6;
  readonly value: bigint;
}

/** What a pattern is compared with. */
export interface Subject {
  /** For IPv4 the dotted form. */
  readonly host: string;
  readonly address: Address | null;
}

export function subjectOf(host: string): Subject {
  const name = canonicalName(host) ?? host.toLowerCase();
  if (name.includes(":")) {
    const address = parseIpv6(name);
    return { host: address?.family === 4 ? formatIpv4(address.value) : name, address };
  }
  const value = parseLooseIpv4(name);
  if (value === null) return { host: name, address: null };
  return { host: formatIpv4(value), address: { family: 4, value } };
}

/** Lower-case, A-labels for U-labels (UTS #46 as in WHATWG URL), one trailing dot removed. Null: no name can be had from it. */
export function canonicalName(text: string): string | null {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (isAscii(name)) return name.toLowerCase();
  // What the URL parser would take for something else than a host never reaches it.
  if (/[\s/?#@:\\%[\]<>^|]/.test(name)) return null;
  const host = URL.parse(`http://${name}/`)?.hostname ?? null;
  return host !== null && host.endsWith(".") ? host.slice(0, -1) : host;
}

/** The dotted form alone: the one spelling that means the same everywhere. */
export function parseIpv4(text: string): bigint | null {
  const bytes = readIpv4(text);
  return bytes === null ? null : numberOf(bytes);
}

/**
 * As `inet_aton` reads it: one to four numbers, decimal, octal (`0…`) or hexadecimal (`0x…`), the last one
 * filling the remaining bytes.
 */
function parseLooseIpv4(text: string): bigint | null {
  const first = text.charCodeAt(0);
  // Almost every host is a name: those leave here.
  if (!(first >= 0x30 && first <= 0x39) || text.length > 64) return null;
  const parts = text.split(".");
  if (parts.length > 4) return null;
  let value = 0n;
  for (let index = 0; index < parts.length; index++) {
    const part = parts[index]!;
    if (!/^(?:0x[0-9a-f]*|0[0-7]*|[1-9][0-9]*)$/.test(part)) return null;
    const number = part === "0x"
      ? 0n
      : part.startsWith("0") && part.length > 1 && part[1] !== "x"
      ? BigInt(`0o${part.slice(1)}`)
      : BigInt(part);
    const bytes = index === parts.length - 1 ? 4 - index : 1;
    if (number >= 1n << BigInt(8 * bytes)) return null;
    value = value << BigInt(8 * bytes) | number;
  }
  return value;
}

/** With an optional zone (RFC 4007 §11), which does not count. */
export function parseIpv6(text: string): Address | null {
  const zone = text.indexOf("%");
  const bytes = readIpv6(zone === -1 ? text : text.slice(0, zone));
  if (bytes === null) return null;
  const value = numberOf(bytes);
  return value >> 32n === 0xffffn ? { family: 4, value: value & 0xffff_ffffn } : { family: 6, value };
}

function numberOf(bytes: Uint8Array): bigint {
  return bytes.reduce((value, byte) => value << 8n | BigInt(byte), 0n);
}

function formatIpv4(value: bigint): string {
  const number = Number(value);
  return [number >>> 24, number >>> 16 & 0xff, number >>> 8 & 0xff, number & 0xff].join(".");
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (text.charCodeAt(at) > 0x7f) return false;
  }
  return true;
}
