import { assert, assertEquals } from "@std/assert";
import { FlowState, type Phase, PHASES, TRANSITIONS } from "../../src/proxy/flow_state.ts";

Deno.test("every phase of a flow can be reached and can end", () => {
  const reached = new Set<Phase>(["awaiting_head"]);
  for (const from of reached) for (const next of TRANSITIONS[from]) reached.add(next);
  assertEquals([...reached].sort(), [...PHASES].sort());
  for (const phase of PHASES) assertEquals(TRANSITIONS[phase].includes("closed"), phase !== "closed");
});

Deno.test("FlowState takes exactly the steps of its table, refuses and counts the others", () => {
  for (const from of PHASES) {
    for (const next of PHASES) {
      const state = new FlowState();
      assert(walk(state, from), from);
      const allowed = TRANSITIONS[from].includes(next);
      assertEquals(state.to(next), allowed, `${from} to ${next}`);
      assertEquals([state.phase, state.illegal], allowed ? [next, 0] : [from, 1]);
    }
  }
});

/** Takes the shortest way from the start to `goal`. */
function walk(state: FlowState, goal: Phase): boolean {
  const ways = new Map<Phase, Phase[]>([[state.phase, []]]);
  for (const [from, way] of ways) {
    if (from === goal) return way.every((phase) => state.to(phase));
    for (const next of TRANSITIONS[from]) if (!ways.has(next)) ways.set(next, [...way, next]);
  }
  return false;
}
