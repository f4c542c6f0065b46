/** What the gate is asked about a request: the authority and the path that its target and Host name. */
import { formatAuthority } from "../core/authority.ts";
import type { RequestGate, Verdict } from "../http/request_gate.ts";
import type { RequestHead } from "./head.ts";

const OBSERVE: Verdict = { type: "observe" };

/** `stream`: the number of the exchange. Null: the verdict comes later. */
export function askGate(gate: RequestGate | null, stream: number, head: RequestHead): Verdict | null {
  if (gate === null) return OBSERVE;
  const { host, method, parsedTarget } = head;
  switch (parsedTarget.form) {
    case "origin":
      return gate.ask(stream, method, host, parsedTarget.path);
    case "asterisk":
      return gate.ask(stream, method, host, "*");
    case "absolute":
      return gate.ask(stream, method, formatAuthority(parsedTarget.authority), parsedTarget.path);
    case "authority":
      return gate.ask(stream, method, formatAuthority(parsedTarget.authority), null);
  }
}
