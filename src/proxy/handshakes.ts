/** What is known of a flow's two TLS handshakes once it is clear who is to be secured, until both are over. */
import type { ClientHello } from "../tls/client_hello.ts";
import { preferringHttp1, servedOffers } from "./alpn.ts";
import type { Origin } from "./origin.ts";

export interface HandshakeParties {
  /** Null where a reverse listener's client speaks in the clear to an origin that is secured. */
  readonly hello: ClientHello | null;
  /** The bytes of the hello, and what came with it. */
  readonly preread: Uint8Array;
  /** The host the flow is for. */
  readonly targetHost: string;
  /** Behind a reverse listener. */
  readonly origin: Origin | null;
}

export class Handshakes {
  readonly hello: ClientHello | null;
  #preread: Uint8Array;
  /** The name the server is asked for and verified for. */
  readonly serverName: string;
  /** The name the client's leaf is for. */
  readonly leafName: string;
  /** The lasting JA4 of the hello. */
  fingerprint = "";
  readonly #origin: Origin | null;
  #offers: readonly string[] = [];
  /** What the client is offered of it. */
  chosen: readonly string[] = [];

  constructor({ hello, preread, targetHost, origin }: HandshakeParties) {
    this.hello = hello;
    this.#preread = preread;
    this.leafName = hello?.sni ?? targetHost;
    // The client does not choose whom a reverse listener trusts.
    this.serverName = origin === null ? this.leafName : targetHost;
    this.#origin = origin;
  }

  /** The bytes of the hello, and what came with it, until they are taken. */
  get preread(): Uint8Array {
    return this.#preread;
  }

  /** Gives them to whom they are for; a flow that goes on for hours does not keep them. */
  takePreread(): Uint8Array {
    const preread = this.#preread;
    this.#preread = NOTHING;
    return preread;
  }

  /** What the server is offered. */
  get offers(): readonly string[] {
    return this.#offers;
  }

  /** For a client in the clear: what it speaks is what the server is offered. */
  offer(protocol: string): void {
    this.#offers = [protocol];
  }

  /** Of the client's offers those that can be served; gives why nothing can be where none can. */
  settleOffers(http2: boolean): string | null {
    const alpn = this.hello?.alpn ?? [];
    this.#offers = servedOffers(alpn, http2);
    if (this.#origin?.tls === false) {
      // Behind it is nothing that could take a ClientHello.
      this.chosen = preferringHttp1(this.#offers);
      return null;
    }
    return alpn.length === 0 || this.#offers.length > 0 ? null : `the client offers only ${alpn.join(", ")}`;
  }

  /** All that the client offers was offered to the server. */
  get offeredAll(): boolean {
    return this.hello !== null && this.#offers.length === this.hello.alpn.length;
  }
}

const NOTHING = new Uint8Array(0);
