/**
 * The phase in which it is found out what a client begins with: TLS, HTTP in the clear, or neither. Its server is
 * connected, but behind a reverse listener.
 */
import type { Timer, TransportFault } from "../core/session.ts";
import type { Side } from "../core/side.ts";
import type { ClientHello } from "../tls/client_hello.ts";
import { isHttp2Preface, isHttp2Settings } from "../tls/sniff.ts";
import { FirstBytes } from "./first_bytes.ts";
import type { Flow } from "./flow.ts";
import type { FlowPolicy } from "./flow_policy.ts";
import type { HandshakeFailures } from "./handshake_failures.ts";
import { join } from "./read_ahead.ts";

/** What a client speaks that has not begun with TLS. */
export type ClearProtocol = "http1" | "http2" | "opaque";

/** What the client has begun with; one of these is called, once. `bytes` are those that were looked at. */
export interface Begun {
  tls(hello: ClientHello, bytes: Uint8Array): void;
  clear(protocol: ClearProtocol, bytes: Uint8Array): void;
  /** It is carried through, whatever it is. */
  tunnelled(fromClient: Uint8Array, fromServer: Uint8Array): void;
}

export class Peeking {
  /** Null before this phase, and after it. */
  #first: FirstBytes | null = null;

  constructor(
    private readonly flow: Flow,
    private readonly policy: FlowPolicy,
    private readonly failures: HandshakeFailures,
    private readonly next: Begun,
  ) {}

  get heldBytes(): number {
    return this.#first?.bytes.length ?? 0;
  }

  begin(): void {
    if (!this.flow.step("peeking")) return;
    this.flow.effects.resume("client");
    this.#first = new FirstBytes(this.policy.http2Enabled);
    this.flow.arm("idle", this.flow.config.limits.idleMs);
    const held = this.flow.ahead.take("client");
    if (held.length > 0) this.#clientSpoke(this.#first, held);
    if (this.flow.ended.client) this.ended();
  }

  received(side: Side, data: Uint8Array): void {
    if (this.#first === null) return;
    if (side === "client") this.#clientSpoke(this.#first, data);
    else this.#serverSpokeFirst(this.#first, data);
  }

  /** What was peeked at is neither a whole ClientHello nor a whole request: it is carried through. */
  ended(): void {
    const first = this.#first;
    if (first === null) return;
    const { reverse } = this.flow.config;
    if (this.policy.tunnelled || (reverse === null && !first.beganTls)) this.#tunnel(first);
    else if (reverse === null || first.mayBeTls) {
      if (first.bytes.length === 0) {
        this.flow.close("complete");
        return;
      }
      const detail = "The client ended during TLS setup";
      this.broken({ kind: "reset", code: "EOF", detail });
      this.flow.close("client_reset", detail);
    } else {
      this.#first = null;
      this.flow.effects.disarm("tls_handshake");
      this.next.clear("opaque", first.bytes);
    }
  }

  expired(timer: Timer): void {
    const first = this.#first;
    if (first === null || (timer !== "idle" && timer !== "tls_handshake")) return;
    if (this.policy.tunnelled) {
      this.#tunnel(first);
      return;
    }
    const detail = first.beganTls
      ? "The ClientHello was not whole in time (timeouts.tls_handshake)"
      : "The client did not begin a protocol";
    this.broken({ kind: "timeout", code: "ETIMEDOUT", detail, own: true });
    this.flow.close(timer === "idle" ? "idle_timeout" : "stage_timeout", detail);
  }

  drain(): void {
    if (this.heldBytes === 0) this.flow.close("shutdown");
  }

  /** The client's connection is lost, or has said nothing for too long: if it had begun a handshake, that failed. */
  broken(fault: TransportFault): void {
    if (this.#first?.beganTls !== true) return;
    this.flow.protocol = "tls";
    this.failures.record("client", fault, null);
  }

  #clientSpoke(first: FirstBytes, data: Uint8Array): void {
    const { config, effects } = this.flow;
    if (first.bytes.length === 0) {
      effects.disarm("idle");
      this.flow.arm("tls_handshake", config.tlsHandshakeMs);
    }
    const beginning = first.push(data);
    const mayBeHello = beginning.type === "hello" || (beginning.type === "more" && first.mayBeTls);
    if (this.policy.tunnelled && !mayBeHello) {
      this.#tunnel(first);
      return;
    }
    if (beginning.type === "more") return;
    this.#first = null;
    effects.disarm("tls_handshake");
    switch (beginning.type) {
      case "hello":
        this.next.tls(beginning.hello, first.bytes);
        return;
      case "malformed":
        this.#malformedHello(beginning.detail, first.bytes.length);
        return;
      case "http1":
      case "http2":
      case "opaque":
        this.next.clear(beginning.type, first.bytes);
        return;
    }
  }

  /** A protocol in which the server speaks first (SMTP, SSH) is neither TLS nor HTTP. */
  #serverSpokeFirst(first: FirstBytes, data: Uint8Array): void {
    const { ahead, config, effects } = this.flow;
    const peeked = first.bytes;
    const said = join(ahead.take("server"), data);
    // A server of HTTP/2 need not wait for the client's preface, which still decides what this is.
    const http2 = !this.policy.tunnelled && config.http2Enabled && isHttp2Preface(peeked) === "more"
      ? isHttp2Settings(said)
      : "no";
    if (http2 !== "no") {
      ahead.hold("server", said);
      if (http2 === "yes") effects.pause("server");
      return;
    }
    this.#first = null;
    this.flow.tunnelNote = "the server spoke first";
    this.next.tunnelled(peeked, said);
  }

  #malformedHello(detail: string, bytes: number): void {
    this.flow.protocol = "tls";
    this.failures.recordMalformedHello(detail);
    this.flow.close("tls_handshake_failed", `malformed ClientHello (${bytes} bytes): ${detail}`);
  }

  #tunnel(first: FirstBytes): void {
    this.#first = null;
    this.next.tunnelled(first.bytes, this.flow.releaseServer());
  }
}
