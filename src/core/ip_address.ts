/**
 * IP addresses as bytes, read from the spellings that mean the same to everybody. Total: other text gives null.
 *
 * IPv6 (RFC 4291 §2.2, written as RFC 5952 §4 has it) is what the platform's URL parser takes between brackets.
 */
import { assert } from "./assert.ts";

/** Four decimal numbers without leading zeros, as RFC 3986 §3.2.2 writes them; octal and short forms are refused. */
export function readIpv4(text: string): Uint8Array | null {
  if (text.length > 15 || !/^(?:(?:0|[1-9][0-9]{0,2})(?:\.(?!$)|$)){4}$/.test(text)) return null;
  const parts = text.split(".").map(Number);
  return parts.every((part) => part <= 255) ? Uint8Array.from(parts) : null;
}

/** Groups of hex, one `::` at most, the last 32 bits perhaps as IPv4; no zone and no brackets. */
export function readIpv6(text: string): Uint8Array | null {
  // The longest is six groups of four digits and a dotted quad; nothing but an address reaches the URL parser.
  if (text.length > 45 || !/^[0-9a-fA-F:.]+$/.test(text)) return null;
  const hostname = URL.parse(`http://[${text}]/`)?.hostname;
  if (hostname === undefined) return null;
  const [head = "", tail = ""] = hostname.slice(1, -1).split("::");
  const address = new Uint8Array(16);
  address.set(bytesOfGroups(head));
  const end = bytesOfGroups(tail);
  address.set(end, 16 - end.length);
  return address;
}

/** Lower case, no leading zeros, the longest run of two or more zero groups shortened. */
export function formatIpv6(address: Uint8Array): string {
  assert(address.length === 16, "An IPv6 address has 16 bytes");
  const groups: string[] = [];
  for (let at = 0; at < 16; at += 2) groups.push((address[at]! * 256 + address[at + 1]!).toString(16));
  return new URL(`http://[${groups.join(":")}]/`).hostname.slice(1, -1);
}

function bytesOfGroups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    const value = parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
}
