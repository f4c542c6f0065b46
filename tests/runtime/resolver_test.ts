import { assertEquals } from "@std/assert";
import { type Address, ANSWER_LIFETIME_MS, ANSWERS_MAX, Resolver } from "../../src/runtime/resolver.ts";

const ADDRESSES: readonly Address[] = [{ address: "192.0.2.7", family: 4 }];

function resolver() {
  const state = { now: 0, asked: [] as string[], answer: [] as ((error: Error | null) => void)[] };
  const resolver = new Resolver((host, callback) => {
    state.asked.push(host);
    state.answer.push((error) => callback(error, error === null ? ADDRESSES : []));
  }, () => state.now);
  const got: unknown[] = [];
  const resolve = (host: string) =>
    resolver.resolve(host, (error, found) => got.push(error?.message ?? found));
  return { state, resolve, got };
}

Deno.test("Resolver asks once for concurrent look-ups of a name, and answers all of them", () => {
  const { state, resolve, got } = resolver();
  resolve("a.test");
  resolve("a.test");
  resolve("b.test");
  assertEquals(state.asked, ["a.test", "b.test"]);
  state.answer[0]!(null);
  assertEquals(got, [ADDRESSES, ADDRESSES]);
});

Deno.test("Resolver uses an answer until its lifetime is over, and not at that instant", () => {
  const { state, resolve, got } = resolver();
  resolve("a.test");
  state.answer[0]!(null);
  state.now = ANSWER_LIFETIME_MS - 1;
  resolve("a.test");
  assertEquals([state.asked.length, got.length], [1, 2]);
  state.now = ANSWER_LIFETIME_MS;
  resolve("a.test");
  assertEquals(state.asked.length, 2);
});

Deno.test("Resolver keeps no failure", () => {
  const { state, resolve, got } = resolver();
  resolve("a.test");
  state.answer[0]!(new Error("no such name"));
  resolve("a.test");
  assertEquals(got, ["no such name"]);
  assertEquals(state.asked.length, 2);
});

Deno.test("Resolver remembers as many names as its limit and forgets the oldest beyond it", () => {
  const { state, resolve } = resolver();
  for (let i = 0; i <= ANSWERS_MAX; i++) {
    resolve(`${i}.test`);
    state.answer[i]!(null);
  }
  resolve("1.test");
  assertEquals(state.asked.length, ANSWERS_MAX + 1);
  resolve("0.test");
  assertEquals(state.asked.length, ANSWERS_MAX + 2);
});
