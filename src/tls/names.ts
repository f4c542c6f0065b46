/**
 * The names a certificate can be for: a DNS name in A-labels (RFC 5280 §4.2.1.6, RFC 5890 §2.3.2.1),
 * a wildcard (RFC 6125 §6.4.3), or an IP address.
 *
 * Names come from clients (SNI, CONNECT), so everything here is total: a hostile name gives an error value.
 */
import { formatIpv6, readIpv4, readIpv6 } from "../core/ip_address.ts";

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

function tooLong(host: string): NameError {
  return failure("name_too_long", host, `a host name has at most ${MAX_NAME_LENGTH} characters`);
}

function failure(error: NameErrorCode, host: string, allowed: string): NameError {
  const shown = host.length > 80 ? `${host.slice(0, 80)}…` : host;
  return { error, detail: `Cannot make a certificate for ${JSON.stringify(shown)}: ${allowed}` };
}
