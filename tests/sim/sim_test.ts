import { assert, assertEquals } from "@std/assert";
import { main } from "../../src/sim/main.ts";
import { chooseOptions } from "../../src/sim/options.ts";
import { simulate, simulateTwice, simulateWithCalmTwin } from "../../src/sim/run.ts";
import { CANARIES } from "./canaries.ts";

const RUNS = 1000;
/** Of so many runs one is done twice, and one is compared with a run of the same flows without faults. */
const TWICE_EVERY = 10;

Deno.test("a thousand seeds leave every checker content", async () => {
  for (let seed = 1; seed <= RUNS; seed++) {
    const options = chooseOptions(seed);
    const run = seed % TWICE_EVERY === 0
      ? simulateTwice
      : seed % TWICE_EVERY === 1
      ? simulateWithCalmTwin
      : simulate;
    const { violations } = await run(options);
    assertEquals(violations, [], `replay: deno task sim --seed ${seed} --runs 1 --verbose`);
  }
});

Deno.test("every seed that ever failed leaves every checker content", async () => {
  const seeds = readSeeds();
  assert(seeds.length > 0);
  for (const { seed, found } of seeds) {
    const { violations } = await simulateTwice(chooseOptions(seed));
    assertEquals(violations, [], `seed ${seed} again, which once found: ${found}`);
  }
});

const CANARY_SEEDS = 120;

for (const [habit, { breaks, makeSession }] of Object.entries(CANARIES)) {
  Deno.test(`a session that ${habit} is caught by ${breaks}`, async () => {
    for (let seed = 1; seed <= CANARY_SEEDS; seed++) {
      const { violations } = await simulateTwice(chooseOptions(seed), makeSession);
      if (violations.some(({ checker }) => checker === breaks)) return;
    }
    throw new Error(`none of ${CANARY_SEEDS} seeds noticed`);
  });
}

Deno.test("main says the seed first, and how to replay what failed", async () => {
  const lines: string[] = [];
  assertEquals(await main(["--seed", "7", "--runs", "3"], (line) => lines.push(line), 0), 0);
  assertEquals(lines[0], "seed 7, 3 runs");
  assert(lines.at(-1)!.startsWith("3 runs, "));
});

Deno.test("main reports a failing run with its checker, its options and the command that replays it", async () => {
  const lines: string[] = [];
  const makeSession = CANARIES["closes its stream twice"]!.makeSession;
  const args = ["--seed", "7", "--runs", "3", "--without", "split,break", "--flows", "2"];
  assertEquals(await main(args, (line) => lines.push(line), 0, makeSession), 1);
  assertEquals(lines[1], "seed 7 FAILED after " + lines[1]!.slice("seed 7 FAILED after ".length));
  assert(lines.some((line) => line.startsWith("  one_close: ")));
  assertEquals(
    lines.at(-1),
    "replay: deno task sim --seed 7 --runs 1 --verbose --without split,break --flows 2",
  );
});

Deno.test("main takes the seed of the day where none is given, and refuses what it does not know", async () => {
  const say = async (...args: string[]) => {
    const lines: string[] = [];
    return [await main(args, (line) => lines.push(line), 42), lines.join("\n")] as const;
  };
  assertEquals((await say("--runs", "1"))[1].split("\n")[0], "seed 42, 1 runs");
  assertEquals((await say("--seed", "x"))[0], 2);
  assertEquals((await say("--runs", "-1"))[0], 2);
  assertEquals((await say("--without", "rain"))[0], 2);
  assertEquals((await say("--only", "sunshine"))[0], 2);
  assertEquals((await say("--fast"))[0], 2);
  assertEquals((await say("--help"))[0], 0);
});

interface FailedSeed {
  readonly seed: number;
  /** What was wrong, in a sentence. */
  readonly found: string;
}

function readSeeds(): FailedSeed[] {
  const text = Deno.readTextFileSync(new URL("../../fixtures/seeds.jsonl", import.meta.url));
  return text.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as FailedSeed);
}
