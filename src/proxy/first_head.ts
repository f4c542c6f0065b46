/**
 * The head with which a client begins at a forward proxy: a CONNECT, or anything else, which is the plain-HTTP
 * relay's business from its first byte on, however that came.
 */
import { assert } from "../core/assert.ts";
import type { Authority } from "../core/authority.ts";
import { type ConnectHead, isConnect, parseConnectHead } from "../http1/connect.ts";
import { parseConnectUdpHead } from "../http1/connect_udp.ts";
import type { Http1Error } from "../http1/errors.ts";
import { HeadReader } from "../http1/head_reader.ts";
import type { Likeness } from "../tls/sniff.ts";
import { join } from "./read_ahead.ts";
import type { SessionConfig } from "./session_config.ts";

export type FirstHeadRead =
  | { readonly type: "more" }
  /** `rest` is what came behind the head. */
  | { readonly type: "connect"; readonly head: ConnectHead; readonly rest: Uint8Array }
  /** All that has come. */
  | { readonly type: "plain"; readonly bytes: Uint8Array }
  | Http1Error;

const NOTHING = new Uint8Array(0);

export class FirstHead {
  readonly #reader: HeadReader;
  /** The beginning until it tells whether that is a CONNECT: a few octets. */
  #octets: Uint8Array = NOTHING;

  constructor(private readonly config: Pick<SessionConfig, "connectParseMode" | "limits">) {
    this.#reader = new HeadReader({ maxHeadBytes: config.limits.maxHeadBytes });
  }

  /** What is there of the head. */
  get bytes(): number {
    return this.#octets.length + this.#reader.buffered;
  }

  push(data: Uint8Array): FirstHeadRead {
    let bytes = data;
    if (this.#reader.buffered === 0) {
      bytes = join(this.#octets, data);
      const likeness = connectLikeness(bytes);
      this.#octets = likeness === "more" ? bytes.slice() : NOTHING;
      if (likeness === "more") return { type: "more" };
      if (likeness === "no") return { type: "plain", bytes };
    }
    const read = this.#reader.push(bytes, 0);
    if (read.type !== "head") return read;
    const connect = parseConnectHead(read.bytes, this.config.connectParseMode, this.config.limits);
    if (connect.type === "error") return connect;
    return { type: "connect", head: connect, rest: bytes.subarray(read.next) };
  }
}

const CONNECT = "connect";

export type ConnectUdpRead =
  | { readonly type: "connect_udp"; readonly authority: Authority; readonly rest: Uint8Array }
  | Http1Error;

/** A CONNECT-UDP whose head is whole, with what came behind it. */
export function readConnectUdp(bytes: Uint8Array, limits: SessionConfig["limits"]): ConnectUdpRead {
  const read = new HeadReader({ maxHeadBytes: limits.maxHeadBytes }).push(bytes, 0);
  assert(read.type === "head", "the head was read before");
  const connect = parseConnectUdpHead(read.bytes, limits);
  return connect.type === "error" ? connect : { ...connect, rest: bytes.subarray(read.next) };
}

/** Whether these first octets are meant as a CONNECT, as `isConnect` has it of whole heads. */
function connectLikeness(bytes: Uint8Array): Likeness {
  for (let index = 0; index < Math.min(bytes.length, CONNECT.length); index++) {
    if ((bytes[index]! | 0x20) !== CONNECT.charCodeAt(index)) return "no";
  }
  if (bytes.length <= CONNECT.length) return "more";
  return isConnect(bytes) ? "yes" : "no";
}
