/**
 * Joins what is sent while one input is handled: neighbouring slices of one buffer become one
 * slice again, so that relaying a read costs one write however finely it was parsed.
 */
export class Outbox {
  #pending: Uint8Array | null = null;

  constructor(private readonly send: (data: Uint8Array) => void) {}

  push(data: Uint8Array): void {
    if (data.length === 0) return;
    const pending = this.#pending;
    if (pending === null) {
      this.#pending = data;
      return;
    }
    if (pending.buffer === data.buffer && pending.byteOffset + pending.length === data.byteOffset) {
      this.#pending = new Uint8Array(data.buffer, pending.byteOffset, pending.length + data.length);
      return;
    }
    this.send(pending);
    this.#pending = data;
  }

  flush(): void {
    const pending = this.#pending;
    if (pending === null) return;
    this.#pending = null;
    this.send(pending);
  }
}
