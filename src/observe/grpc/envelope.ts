/**
 * The envelope of gRPC ("gRPC over HTTP2", Length-Prefixed-Message): one octet of flags, four of length, then the
 * message. It knows nothing of frames and reads: octets come in any pieces, and a message goes out in any.
 */

export const PREFIX_BYTES = 5;

/** What an envelope holds, as it comes. False: nothing more is to be read. */
export interface EnvelopeHandler {
  begin(flags: number, bytes: number): boolean;
  /** A part of the message, valid during the call, never empty. */
  part(bytes: Uint8Array): boolean;
  /** The message is whole. */
  whole(): boolean;
}

export class EnvelopeReader {
  readonly #prefix = new Uint8Array(PREFIX_BYTES);
  #prefixBytes = 0;
  /** What is missing of the message under way. */
  #missing = 0;
  /** The handler wanted no more. */
  stopped = false;

  constructor(private readonly handler: EnvelopeHandler) {}

  /** Where in an envelope the octets so far end; between two of them, the reader is as new. */
  get within(): "nothing" | "prefix" | "message" {
    return this.#prefixBytes === 0 ? "nothing" : this.#prefixBytes < PREFIX_BYTES ? "prefix" : "message";
  }

  /** Octets of the prefix under way. */
  get prefixBytes(): number {
    return this.#prefixBytes;
  }

  push(content: Uint8Array): void {
    let at = 0;
    while (at < content.length && !this.stopped) {
      if (this.#prefixBytes < PREFIX_BYTES) {
        this.#prefix[this.#prefixBytes++] = content[at++]!;
        if (this.#prefixBytes === PREFIX_BYTES) this.#begin();
      } else {
        const part = content.subarray(at, at + this.#missing);
        at += part.length;
        this.#missing -= part.length;
        if (!this.handler.part(part)) this.stopped = true;
        else if (this.#missing === 0) this.#whole();
      }
    }
  }

  #begin(): void {
    const [flags, a, b, c, d] = this.#prefix;
    // Not by shifts: those would make the highest bit a sign.
    this.#missing = a! * 0x1000000 + b! * 0x10000 + c! * 0x100 + d!;
    if (!this.handler.begin(flags!, this.#missing)) this.stopped = true;
    else if (this.#missing === 0) this.#whole();
  }

  #whole(): void {
    this.#prefixBytes = 0;
    if (!this.handler.whole()) this.stopped = true;
  }
}
