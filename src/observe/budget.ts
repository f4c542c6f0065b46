/** What the observers of one flow may keep between them, in octets. */
import type { ObserveLimits } from "./observer.ts";

export class Budget {
  held = 0;
  constructor(private readonly max: number) {}

  hold(bytes: number): boolean {
    if (this.held + bytes > this.max) return false;
    this.held += bytes;
    return true;
  }

  release(bytes: number): void {
    this.held -= bytes;
  }
}

export function budgetReason({ decoderBufferBytes }: ObserveLimits): string {
  return `over the ${decoderBufferBytes} octets that observers of a flow may keep (limits.decoder_buffer_bytes)`;
}

export function failureReason(error: unknown): string {
  return `failed: ${error instanceof Error ? error.message : String(error)}`;
}
