/**
 * CONNECT-UDP in HTTP/1.1 (RFC 9298 §3.2): a GET for the proxy's own well-known path that asks to be upgraded.
 *
 *     GET /.well-known/masque/udp/192.0.2.6/443/ HTTP/1.1
 *     Host: proxy.example
 *     Connection: Upgrade
 *     Upgrade: connect-udp
 *     Capsule-Protocol: ?1
 *
 * An absolute-form target is the same with `https`, which nobody can ask for in the clear; with `http` it is
 * another proxy's, which is asked like any server. Capsule-Protocol is not required: the upgrade token says it.
 */
import type { Authority } from "../core/authority.ts";
import { quoteFound } from "../http/quote.ts";
import { type Http1Error, http1Error } from "./errors.ts";
import type { FieldLimits } from "./field_lines.ts";
import { parseRequestHead, type RequestHead } from "./head.ts";
import { parseAuthority } from "./host.ts";

/** The default template of RFC 9298 §2. */
const WELL_KNOWN = "/.well-known/masque/udp/";
const UPGRADE_TOKEN = "connect-udp";

const RFC = "RFC 9298 §3.2";

/** Says yes to the upgrade (RFC 9298 §3.3); capsules follow. */
export const UDP_ESTABLISHED: Uint8Array = new TextEncoder().encode(
  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: connect-udp\r\n" +
    "Capsule-Protocol: ?1\r\n\r\n",
);

/** Whether a head asks this proxy for UDP, well or badly: `parseConnectUdpHead` then judges it. */
export function isConnectUdp(bytes: Uint8Array, limits: FieldLimits): boolean {
  // A look at the method spares all other requests the parsing.
  if (bytes[0] !== 0x47 || bytes[1] !== 0x45 || bytes[2] !== 0x54) return false;
  const end = bytes.indexOf(0x0d);
  if (end < 0 || end > LINE_BYTES_MAX) return false;
  if (!decoder.decode(bytes.subarray(0, end)).includes(WELL_KNOWN)) return false;
  const head = parseRequestHead(bytes, limits);
  return head.type === "request" && wellKnownPath(head) !== null && asksForUdp(head);
}

/** A host of 253 characters, each of them percent-encoded, and as much again for the proxy's own. */
const LINE_BYTES_MAX = 2048;
const decoder = new TextDecoder("latin1");

export interface ConnectUdpHead {
  readonly type: "connect_udp";
  readonly authority: Authority;
}

/** The head of which `isConnectUdp` is true. */
export function parseConnectUdpHead(bytes: Uint8Array, limits: FieldLimits): ConnectUdpHead | Http1Error {
  const head = parseRequestHead(bytes, limits);
  if (head.type === "error") return head;
  if (!head.upgrade || head.framing.type !== "none") {
    return http1Error("invalid_target", "CONNECT-UDP is an upgrade in HTTP/1.1, without content", 0, RFC);
  }
  const path = wellKnownPath(head) ?? "";
  const [host, port, rest, ...more] = path.slice(WELL_KNOWN.length).split("/");
  const decoded = host === undefined ? null : percentDecoded(host);
  if (decoded === null || decoded === "" || port === undefined || rest !== "" || more.length > 0) {
    return http1Error(
      "invalid_target",
      `the target ${quoteFound(path)} is not ${WELL_KNOWN}HOST/PORT/`,
      0,
      RFC,
    );
  }
  const authority = parseAuthority(
    decoded.includes(":") ? `[${decoded}]:${port}` : `${decoded}:${port}`,
    null,
    0,
  );
  return "type" in authority ? authority : { type: "connect_udp", authority };
}

function wellKnownPath({ parsedTarget }: RequestHead): string | null {
  const { form } = parsedTarget;
  const isOurs = form === "origin" || (form === "absolute" && parsedTarget.scheme === "https");
  return isOurs && parsedTarget.path.startsWith(WELL_KNOWN) ? parsedTarget.path : null;
}

function asksForUdp({ fields }: RequestHead): boolean {
  return fields.some(([name, value]) =>
    name.toLowerCase() === "upgrade" &&
    value.split(",").some((token) => token.trim().toLowerCase() === UPGRADE_TOKEN)
  );
}

/** Null where an escape is none, or where an octet is not ASCII. */
function percentDecoded(text: string): string | null {
  if (/%(?![0-7][0-9A-Fa-f])/.test(text)) return null;
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, octet) => String.fromCharCode(Number.parseInt(octet, 16)));
}
