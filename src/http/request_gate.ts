/**
 * What a relay asks about each request of an intercepted connection before it forwards anything of it. There
 * is a gate wherever requests may have to be decided; most answer at once.
 */
import type { Answer } from "./answer.ts";

export type Verdict =
  /** It goes on and is recorded. */
  | { readonly type: "observe" }
  /** It goes on and nothing of it is recorded. */
  | { readonly type: "relay" }
  /** Nothing of it reaches the server; the client gets this answer. */
  | { readonly type: "refuse"; readonly answer: Answer };

export interface RequestGate {
  /**
   * Null: the verdict comes later, through the relay's `decided`, and nothing else is asked before it.
   * `authority` is what the request names itself, null where it names nothing; `stream` is the number in its
   * stream key.
   */
  ask(stream: number, method: string, authority: string | null, path: string | null): Verdict | null;
}
