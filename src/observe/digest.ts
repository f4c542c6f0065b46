/** A digest of what comes in pieces, as the observers know it; the platform's is behind it. */
export interface Digest {
  update(bytes: Uint8Array): void;
  /** In hexadecimal. Called once. */
  finish(): string;
}

export type OpenDigest = () => Digest;
