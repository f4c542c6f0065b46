/**
 * Which hosts a session can be resumed with (RFC 8446 §2.2, RFC 5077). The runtime keeps the tickets to itself, up
 * to eight of a name; what it gives as the session stands for them, and has to be shown to it to have one used.
 */
import type { Buffer } from "node:buffer";

interface Host {
  /** Null: none was given, or it did no good. */
  readonly session: Buffer | null;
  /** Handshakes in a row that came to nothing with a session. */
  readonly failures: number;
  /** For so many full handshakes no session is remembered. */
  readonly rests: number;
}

const NEW_HOST: Host = { session: null, failures: 0, rests: 0 };

const HOSTS_MAX = 1024;
/** A server that cannot resume what it gave tickets for is left alone with them … */
const FAILURES_MAX = 2;
/** … for so many handshakes: it may have been the network, or a server that was being replaced. */
const RESTS = 64;

export class ServerSessions {
  /** The one not used for longest comes first. */
  readonly #hosts = new Map<string, Host>();

  get size(): number {
    return this.#hosts.size;
  }

  /** What to show for a session with this host; null: nothing. */
  offer(key: string): Buffer | null {
    const host = this.#hosts.get(key);
    if (host === undefined) return null;
    this.#hosts.delete(key);
    this.#hosts.set(key, host);
    return host.session;
  }

  /** There is one now. */
  given(key: string, session: Buffer): void {
    const host = this.#hosts.get(key) ?? NEW_HOST;
    this.#remember(key, host.rests > 0 ? { ...host, rests: host.rests - 1 } : { ...host, session });
  }

  /** A handshake with a session came off. */
  worked(key: string): void {
    const host = this.#hosts.get(key);
    if (host !== undefined) this.#hosts.set(key, { ...host, failures: 0 });
  }

  /** A handshake with a session failed, or was given up: the next is a full one. */
  failed(key: string): void {
    const failures = (this.#hosts.get(key) ?? NEW_HOST).failures + 1;
    this.#remember(key, { session: null, failures, rests: failures < FAILURES_MAX ? 0 : RESTS });
  }

  #remember(key: string, host: Host): void {
    this.#hosts.delete(key);
    this.#hosts.set(key, host);
    if (this.#hosts.size > HOSTS_MAX) this.#hosts.delete(this.#hosts.keys().next().value!);
  }
}
