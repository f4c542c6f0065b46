/**
 * The names a certificate can be for: a DNS name in A-labels (RFC 5280 §4.2.1.6, RFC 5890 §2.3.2.1),
 * a wildcard (RFC 6125 §6.4.3), or an IP address.
 *
 * Names come from clients (SNI, CONNECT), so everything here is total: a hostile name gives an error value.
 */

export type CertificateName =
  | { readonly kind: "dns"; readonly text: string }
  | { readonly kind: "ip"; readonly text: string; readonly address: Uint8Array };

export const NAME_ERRORS = [
  "empty_name",
  "name_too_long",
  "forbidden_character",
  "malformed_label",
  "malformed_wildcard",
  "malformed_address",
  "malformed_idn",
] as const;
export type NameErrorCode = typeof NAME_ERRORS[number];

export interface NameError {
  readonly error: NameErrorCode;
  /** For a person: what was found (quoted, control bytes escaped) and what is allowed. */
  readonly detail: string;
}

/** RFC 1035 §2.3.4, in the text form without the final dot. */
export const MAX_NAME_LENGTH = 253;
const MAX_LABEL_LENGTH = 63;

/**
 * Reads a host as a client writes it: any case, a final dot, an IPv6 address bare or in brackets and
 * with or without a zone, an IDN in U-labels. `text` of the result is the one spelling that equal
 * hosts share.
 */
export function parseCertificateName(host: string): CertificateName | NameError {
  if (host === "") return failure("empty_name", host, "a host name or an IP address is needed");
  // An IDN may be longer in U-labels than in A-labels, but not by this much.
  if (host.length > 4 * MAX_NAME_LENGTH) return tooLong(host);
  if (host.includes(":") || host.startsWith("[")) return parseAddress6(host);
  // deno-lint-ignore no-control-regex
  if (!/^[\x00-\x7f]*$/.test(host)) return parseInternational(host);
  return parseAscii(host);
}

function parseAscii(host: string): CertificateName | NameError {
  const text = (host.endsWith(".") ? host.slice(0, -1) : host).toLowerCase();
  if (text === "") return failure("empty_name", host, "a host name or an IP address is needed");
  if (text.length > MAX_NAME_LENGTH) return tooLong(host);
  // Other spellings of addresses (`127.1`, `0x7f.0.0.1`) are names to whoever verifies the certificate.
  const address = readIpv4(text);
  if (address !== null) return { kind: "ip", text, address };
  const labels = text.split(".");
  for (const [index, label] of labels.entries()) {
    if (label === "*" && index === 0) {
      if (labels.length > 1) continue;
      return failure("malformed_wildcard", host, "a wildcard needs a domain after it, as in *.example.com");
    }
    if (label.includes("*")) {
      return failure("malformed_wildcard", host, "a wildcard is the whole first label, as in *.example.com");
    }
    if (label === "" || label.length > MAX_LABEL_LENGTH) {
      return failure("malformed_label", host, `a label has 1 to ${MAX_LABEL_LENGTH} characters`);
    }
    // Underscores and outer hyphens are no host name by RFC 1123 §2.1, but such hosts exist and browsers go there.
    if (!/^[a-z0-9_-]+$/.test(label)) {
      return failure(
        "forbidden_character",
        host,
        "letters, digits, hyphens, underscores and dots are allowed",
      );
    }
  }
  return { kind: "dns", text };
}

/** UTS #46 mapping as the URL standard has it, so that the leaf is for the name that a browser shows. */
function parseInternational(host: string): CertificateName | NameError {
  // What the URL parser would take as a delimiter or decode must not reach it.
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x20!-),/:-@[-^`{-\x7f+]/.test(host)) {
    return failure("forbidden_character", host, "letters, digits, hyphens, underscores and dots are allowed");
  }
  const wildcard = host.startsWith("*.");
  const url = URL.parse(`https://${wildcard ? host.slice(2) : host}/`);
  if (url === null || url.hostname === "") {
    return failure("malformed_idn", host, "an international name has to follow UTS #46");
  }
  return parseAscii(wildcard ? `*.${url.hostname}` : url.hostname);
}

function parseAddress6(host: string): CertificateName | NameError {
  let text = host;
  if (text.startsWith("[") && text.endsWith("]")) text = text.slice(1, -1);
  // A zone (RFC 4007 §11) is the client's own affair; certificates have none.
  const zone = text.indexOf("%");
  if (zone !== -1) {
    if (!/^[a-zA-Z0-9._~%-]{1,64}$/.test(text.slice(zone + 1))) {
      return failure("malformed_address", host, "the zone of an IPv6 address is an interface name");
    }
    text = text.slice(0, zone);
  }
  const address = readIpv6(text);
  if (address === null) {
    return failure("malformed_address", host, "an IPv6 address has eight groups of hex digits");
  }
  return { kind: "ip", text: formatIpv6(address), address };
}

/** Four decimal numbers without leading zeros, as RFC 3986 §3.2.2 writes them; octal and short forms are refused. */
export function readIpv4(text: string): Uint8Array | null {
  const parts = text.split(".");
  if (parts.length !== 4) return null;
  const address = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return null;
    address[index] = Number(part);
  }
  return address;
}

/** RFC 4291 §2.2: groups of hex, one `::` at most, the last 32 bits perhaps as IPv4. */
export function readIpv6(text: string): Uint8Array | null {
  if (text.length > 45) return null;
  const halves = text.split("::");
  if (halves.length > 2) return null;
  const groups = halves.map((half, index) => readGroups(half, index === halves.length - 1));
  const [head, tail] = groups;
  if (head === null || head === undefined || tail === null) return null;
  const address = new Uint8Array(16);
  if (tail === undefined) {
    if (head.length !== 16) return null;
  } else {
    // `::` stands for one group of zeros at least.
    if (head.length + tail.length > 14) return null;
    address.set(tail, 16 - tail.length);
  }
  address.set(head);
  return address;
}

function readGroups(text: string, mayEndInIpv4: boolean): number[] | null {
  const bytes: number[] = [];
  if (text === "") return bytes;
  const groups = text.split(":");
  for (const [index, group] of groups.entries()) {
    if (/^[0-9a-fA-F]{1,4}$/.test(group)) {
      const value = parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    } else {
      const embedded = mayEndInIpv4 && index === groups.length - 1 ? readIpv4(group) : null;
      if (embedded === null) return null;
      bytes.push(...embedded);
    }
  }
  return bytes.length > 16 ? null : bytes;
}

/** RFC 5952 §4: lower case, no leading zeros, the longest run of two or more zero groups shortened. */
export function formatIpv6(address: Uint8Array): string {
  const groups: number[] = [];
  for (let index = 0; index < 16; index += 2) groups.push(address[index]! * 256 + address[index + 1]!);
  let best = { start: -1, length: 1 };
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":");
  if (best.start === -1) return hex(groups);
  return `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}

function tooLong(host: string): NameError {
  return failure("name_too_long", host, `a host name has at most ${MAX_NAME_LENGTH} characters`);
}

function failure(error: NameErrorCode, host: string, allowed: string): NameError {
  const shown = host.length > 80 ? `${host.slice(0, 80)}…` : host;
  return { error, detail: `Cannot make a certificate for ${JSON.stringify(shown)}: ${allowed}` };
}
