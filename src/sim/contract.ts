/**
 * Holds a session and its driver to the contract of `core/session.ts`: nothing is called on a session inside
 * one of its effects or after it has closed, it has no effect after that, and time never goes back.
 */
import type { Instant } from "../core/instant.ts";
import type { Effects, Session } from "../core/session.ts";

const INPUTS = [
  "begin",
  "received",
  "ended",
  "failed",
  "opened",
  "openFailed",
  "secured",
  "secureFailed",
  "decided",
  "expired",
  "drain",
  "abort",
  "crashed",
] as const satisfies readonly (keyof Session)[];

const EFFECTS = [
  "open",
  "openDatagrams",
  "closeServer",
  "secureServer",
  "secureClient",
  "send",
  "admits",
  "end",
  "reset",
  "pause",
  "resume",
  "decide",
  "arm",
  "disarm",
  "record",
  "close",
  "countTlsFailure",
  "learn",
  "learned",
] as const satisfies readonly (keyof Effects)[];

/** The session made by `make`, watched; what breaks the contract is told to `report`. */
export function watched(
  effects: Effects,
  make: (effects: Effects) => Session,
  report: (detail: string) => void,
): Session {
  let depth = 0;
  let isClosed = false;
  let last: Instant = 0;
  const session = make(
    forwarding(effects, EFFECTS, (name, call) => {
      if (depth === 0) report(`the effect ${name} comes from outside any input`);
      if (isClosed) report(`the effect ${name} comes after close`);
      if (name === "close") isClosed = true;
      return call();
    }),
  );
  return forwarding(session, INPUTS, (name, call, args) => {
    // Only `ended` has something after the instant.
    const now = args[name === "ended" ? 1 : args.length - 1] as Instant;
    if (depth > 0) report(`the input ${name} comes from inside another`);
    if (isClosed && name !== "crashed") report(`the input ${name} comes after close`);
    if (now < last) report(`the input ${name} comes at ${now}, after ${last}`);
    last = now;
    depth++;
    try {
      return call();
    } finally {
      depth--;
    }
  });
}

/** `target` with some of its methods passing through `around`. */
function forwarding<Target extends object>(
  target: Target,
  names: readonly (keyof Target & string)[],
  around: (name: string, call: () => unknown, args: readonly unknown[]) => unknown,
): Target {
  const watched = new Set<PropertyKey>(names);
  return new Proxy(target, {
    get(_, name) {
      const member = Reflect.get(target, name) as unknown;
      if (!watched.has(name) || typeof member !== "function") return member;
      const method = member as (...args: unknown[]) => unknown;
      return (...args: unknown[]) => around(String(name), () => method.apply(target, args), args);
    },
  });
}
