/**
 * What two heads agreed on: the opening handshake of RFC 6455 §4, or an extended CONNECT (RFC 8441 §5), which
 * has neither key nor accept. It is looked at and not interfered with.
 */
import { listElements } from "../../http/fields.ts";
import { fieldValues } from "../../http/media_type.ts";
import type { UpgradeHead } from "../../http/observation.ts";
import type { HandshakeViolation } from "./deviations.ts";
import { agree, type Agreement } from "./extensions.ts";

export interface Handshake {
  readonly agreement: Agreement;
  /** Null where none was agreed on. */
  readonly subprotocol: string | null;
  readonly violations: readonly HandshakeViolation[];
}

/** §1.3 */
const GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** Base64 of 16 octets (§4.1). */
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/;

/** Whether a stream is a WebSocket from this response on. */
export function opensWebSocket({ request, response }: UpgradeHead): boolean {
  if (request.protocol !== undefined) {
    return request.protocol.toLowerCase() === "websocket" && response.status >= 200 && response.status < 300;
  }
  return response.status === 101 &&
    listElements(fieldValues(response.fields, "upgrade")).includes("websocket");
}

/** `sha1` gives hexadecimal. */
export function readHandshake(head: UpgradeHead, sha1: (text: string) => string): Handshake {
  const { request, response } = head;
  const answered = (name: string) => fieldValues(response.fields, name);
  const asked = (name: string) => fieldValues(request.fields, name);
  const agreement = agree(asked("sec-websocket-extensions"), answered("sec-websocket-extensions"));
  const violations: HandshakeViolation[] = [];
  if (request.protocol === undefined) {
    if (request.method !== "GET") violations.push("method_not_get");
    if (!listElements(asked("upgrade")).includes("websocket")) violations.push("upgrade_not_asked");
    if (!listElements(answered("connection")).includes("upgrade")) violations.push("connection_missing");
    violations.push(...checkKey(asked("sec-websocket-key"), answered("sec-websocket-accept"), sha1));
  }
  const version = asked("sec-websocket-version");
  if (version.length === 0) violations.push("version_missing");
  else if (version.length > 1 || trim(version[0]!) !== "13") violations.push("version_unsupported");
  const subprotocols = answered("sec-websocket-protocol");
  const subprotocol = subprotocols.length === 0 ? null : trim(subprotocols[0]!);
  if (subprotocol !== null) {
    const offers = asked("sec-websocket-protocol").flatMap((value) => value.split(",").map(trim));
    if (subprotocols.length > 1 || !offers.includes(subprotocol)) violations.push("subprotocol_not_offered");
  }
  return { agreement, subprotocol, violations: [...violations, ...agreement.violations] };
}

function checkKey(
  keys: readonly string[],
  accepts: readonly string[],
  sha1: (text: string) => string,
): HandshakeViolation[] {
  const violations: HandshakeViolation[] = [];
  const key = keys[0] === undefined ? null : trim(keys[0]);
  if (key === null) violations.push("key_missing");
  else if (keys.length > 1 || !KEY.test(key)) violations.push("key_invalid");
  if (accepts.length === 0) violations.push("accept_missing");
  else if (key !== null) {
    const expected = Uint8Array.fromHex(sha1(key + GUID)).toBase64();
    if (accepts.length > 1 || trim(accepts[0]!) !== expected) violations.push("accept_mismatch");
  }
  return violations;
}

function trim(text: string): string {
  return text.trim();
}
