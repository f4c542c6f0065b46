import { assertEquals } from "@std/assert";
import type { Effects, Session } from "../../src/core/session.ts";
import { watched } from "../../src/sim/contract.ts";

function breaches(
  act: (session: Session, effects: Effects) => void,
  received = (_: Effects) => {},
): string[] {
  const found: string[] = [];
  const nothing = new Proxy({}, { get: () => () => {} }) as Effects;
  let inner!: Effects;
  const session = watched(nothing, (effects) => {
    inner = effects;
    const base = new Proxy({}, { get: () => () => {} }) as Session;
    return Object.assign(Object.create(base), { received: () => received(effects) }) as Session;
  }, (detail) => found.push(detail));
  act(session, inner);
  return found;
}

const DATA = new Uint8Array(1);

Deno.test("watched lets through what keeps the contract", () => {
  const kept = breaches((session) => {
    session.begin(0);
    session.received("client", DATA, 1);
    session.ended("client", 1, false);
    session.expired("idle", 2);
  }, (effects) => effects.disarm("idle"));
  assertEquals(kept, []);
});

Deno.test("watched tells of inputs and effects at the wrong time", () => {
  assertEquals(
    breaches((session) => {
      session.begin(5);
      session.ended("client", 4);
    }),
    ["the input ended comes at 4, after 5"],
  );
  assertEquals(breaches((_, effects) => effects.pause("client")), [
    "the effect pause comes from outside any input",
  ]);
  assertEquals(
    breaches((session) => {
      session.received("client", DATA, 1);
      session.received("client", DATA, 1);
    }, (effects) => effects.close()),
    ["the input received comes after close", "the effect close comes after close"],
  );
});

Deno.test("watched tells of an input from inside another, and not of a crash after close", () => {
  const found: string[] = [];
  const nothing = new Proxy({}, { get: () => () => {} }) as Effects;
  const session: Session = watched(nothing, (effects) => {
    const base = new Proxy({}, { get: () => () => {} }) as Session;
    return Object.assign(Object.create(base), {
      received: () => session.begin(1),
      begin: () => effects.close(),
    }) as Session;
  }, (detail) => found.push(detail));
  session.received("client", DATA, 1);
  session.crashed("x", 1);
  assertEquals(found, ["the input begin comes from inside another"]);
});
