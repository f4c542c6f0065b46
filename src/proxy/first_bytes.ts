/**
 * What a client begins with, once it is known where its bytes are to go: TLS, HTTP in the clear, or neither.
 * Looked at without being consumed; the answer does not depend on how reads cut the bytes up.
 */
import { type ClientHello, ClientHelloReader } from "../tls/client_hello.ts";
import { isHttp2Preface, looksLikeHttp } from "../tls/sniff.ts";

export type Beginning =
  | { readonly type: "more" }
  | { readonly type: "hello"; readonly hello: ClientHello }
  | { readonly type: "malformed"; readonly detail: string }
  | { readonly type: "http1" | "http2" | "opaque" };

export class FirstBytes {
  readonly #hello = new ClientHelloReader();
  #tls = true;

  constructor(private readonly http2Enabled: boolean) {}

  /** Everything pushed so far. */
  get bytes(): Uint8Array {
    return this.#hello.bytes;
  }

  /** Whether it may still be a ClientHello. */
  get mayBeTls(): boolean {
    return this.#tls;
  }

  /** It is one, whole or not: the record's header and the type of its message are there. */
  get beganTls(): boolean {
    return this.#tls && this.bytes.length > 5;
  }

  push(data: Uint8Array): Beginning {
    const read = this.#hello.push(data);
    if (read.type !== "not_tls") return read;
    this.#tls = false;
    const http2 = this.http2Enabled ? isHttp2Preface(this.bytes) : "no";
    const http1 = looksLikeHttp(this.bytes);
    if (http1 === "more" || http2 === "more") return { type: "more" };
    return { type: http2 === "yes" ? "http2" : http1 === "yes" ? "http1" : "opaque" };
  }
}
