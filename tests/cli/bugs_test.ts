import { assertEquals, assertStringIncludes } from "@std/assert";
import { REPORTED_BUGS_MAX, watchForBugs } from "../../src/cli/bugs.ts";
import type { Notice } from "../../src/runtime/running_proxy.ts";

function throwAtTheTop(error: unknown): void {
  globalThis.dispatchEvent(new ErrorEvent("error", { error, cancelable: true }));
}

Deno.test("watchForBugs reports each failure that nobody caught, with its stack and nothing for the terminal", () => {
  const notices: Notice[] = [];
  const watch = watchForBugs((notice) => notices.push(notice));
  try {
    throwAtTheTop(new Error("nobody caught \x1b[2J this"));
    throwAtTheTop(null);
    throwAtTheTop(Object.create(null));
    throwAtTheTop(new Error("x".repeat(100_000)));
    assertEquals(watch.count, 4);
  } finally {
    watch.end();
  }
  assertEquals(notices.map(({ level }) => level), ["error", "error", "error", "error"]);
  const [first, second, third, fourth] = notices.map(({ message }) => message);
  assertStringIncludes(
    first ?? "",
    "this is a bug in soth-mitm, which goes on; please report it: Error: nobody caught \\x1b[2J this\n    at ",
  );
  assertStringIncludes(second ?? "", "report it: object null");
  assertStringIncludes(third ?? "", "report it: object without a text");
  assertEquals((fourth ?? "").length < 5_000, true);
});

Deno.test(`watchForBugs falls silent after ${REPORTED_BUGS_MAX} failures, and says at the end how many there were`, () => {
  const messages: string[] = [];
  const watch = watchForBugs(({ message }) => messages.push(message));
  try {
    for (let index = 1; index < REPORTED_BUGS_MAX; index++) throwAtTheTop(new Error("again"));
    assertEquals(messages.at(-1)?.includes("only counted"), false);
    for (let index = 0; index < 5; index++) throwAtTheTop(new Error("and again"));
    assertEquals([messages.length, watch.count], [REPORTED_BUGS_MAX, REPORTED_BUGS_MAX + 4]);
    assertStringIncludes(messages.at(-1) ?? "", "\nfurther ones are only counted");
  } finally {
    watch.end();
  }
  assertEquals(messages.slice(REPORTED_BUGS_MAX), [
    "there were 104 such bugs; the first 100 are reported above",
  ]);
});

Deno.test("watchForBugs says nothing at the end where all was reported", () => {
  const messages: string[] = [];
  const watch = watchForBugs(({ message }) => messages.push(message));
  for (let index = 0; index < REPORTED_BUGS_MAX; index++) throwAtTheTop(new Error("again"));
  watch.end();
  assertEquals(messages.length, REPORTED_BUGS_MAX);
});

Deno.test("during gives what its work gives, and fails with an exception that left the work without an end", async () => {
  const bugs = watchForBugs(() => {});
  assertEquals(await bugs.during(Promise.resolve(7)), 7);
  const failure = bugs.during(new Promise<never>(() => {})).then(() => null, (error) => error.message);
  queueMicrotask(() => {
    throw new Error("from nowhere");
  });
  assertEquals(await failure, "from nowhere");
  bugs.end();
});
