/**
 * What is wrong with an HTTP/1.1 message (RFC 9112): a value, never an exception. The code is
 * stable and shown to users; the detail says what was found and what is allowed.
 */
export interface Http1Error {
  readonly type: "error";
  /** Stable snake_case code, see the union in `head.ts` and `body.ts`. */
  readonly code: string;
  readonly detail: string;
  /** Byte offset in the message where it was found. */
  readonly offset: number;
  /** The section that forbids it, e.g. `RFC 9112 §6.3`. */
  readonly rfc: string;
}
