/** Who decides where each request of a forward proxy goes, as its relay knows it. */
import type { Http1Error } from "./errors.ts";
import type { RequestHead } from "./head.ts";

export interface Router {
  /** Answered by `routed` or `refused`, now or later. */
  route(head: RequestHead, exchangeId: number): void;
  /** Whether a head is a CONNECT, or the like: the relay's part ends with it. */
  takesOver(head: Uint8Array): boolean;
  /** The bytes from that head on. */
  takeOver(bytes: Uint8Array): void;
  /** The head could not be parsed. True where the session records it itself. */
  unparsable(error: Http1Error): boolean;
}
