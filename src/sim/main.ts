/**
 * `deno task sim --seed N --runs M`: simulates M worlds, from seed N on. Says the seed first, so that whatever
 * happens can be had again; exits 1 at the first run in which a checker finds something.
 */
import { parseArgs } from "@std/cli/parse-args";
import { chooseOptions, type Fault, FAULTS, leavingOut, playingOnly, type SimOptions } from "./options.ts";
import { type Outcome, simulateTwice } from "./run.ts";
import { ALL_WORKLOADS, type WorkloadName } from "./workloads.ts";
import type { MakeSession } from "./world.ts";

const USAGE =
  `deno task sim [--seed N] [--runs M] [--without FAULT,…] [--only WORKLOAD,…] [--flows N] [--verbose]

  --seed      the first seed; each further run takes the next one (default: from the clock)
  --runs      how many (default 1000)
  --without   leaves faults out: ${FAULTS.join(", ")}
  --only      plays these workloads only: ${Object.keys(ALL_WORKLOADS).join(", ")}
  --flows     so many flows in the phase of faults
  --verbose   prints the event log of each run`;

interface Arguments {
  readonly seed: number;
  readonly runs: number;
  readonly without: readonly Fault[];
  readonly only: readonly WorkloadName[] | null;
  readonly flows: number | null;
  readonly verbose: boolean;
}

/** Gives the exit code. `seedOfToday` is what to begin with where no seed is given; `makeSession` is for canaries. */
export async function main(
  args: readonly string[],
  print: (line: string) => void,
  seedOfToday: number,
  makeSession?: MakeSession,
): Promise<number> {
  const parsed = parse(args, seedOfToday);
  if (typeof parsed === "string") {
    print(parsed);
    return parsed === USAGE ? 0 : 2;
  }
  const { seed, runs } = parsed;
  print(`seed ${seed}, ${runs} runs`);
  let flows = 0;
  let lines = 0;
  for (let run = 0; run < runs; run++) {
    const options = withArguments(chooseOptions((seed + run) >>> 0), parsed);
    if (parsed.verbose || runs === 1) print(describe(options));
    const outcome = await simulateTwice(options, makeSession);
    flows += outcome.flows;
    lines += outcome.lines.length;
    if (parsed.verbose) { for (const line of outcome.lines) print(line.slice(0, -1)); }
    if (outcome.violations.length === 0) {
      if (runs === 1) print(`sha256 ${outcome.sha256}`);
      continue;
    }
    printFailure(outcome, options, parsed, print);
    return 1;
  }
  print(`${runs} runs, ${flows} flows, ${lines} log lines: every checker is content`);
  return 0;
}

function printFailure(
  outcome: Outcome,
  options: SimOptions,
  parsed: Arguments,
  print: (line: string) => void,
): void {
  print(`seed ${outcome.seed} FAILED after ${outcome.virtualMs} ms of its time`);
  print(describe(options));
  for (const { checker, detail } of outcome.violations) print(`  ${checker}: ${detail}`);
  const more = [
    parsed.without.length === 0 ? "" : ` --without ${parsed.without.join(",")}`,
    parsed.only === null ? "" : ` --only ${parsed.only.join(",")}`,
    parsed.flows === null ? "" : ` --flows ${parsed.flows}`,
  ].join("");
  print(`replay: deno task sim --seed ${outcome.seed} --runs 1 --verbose${more}`);
}

function describe(options: SimOptions): string {
  return `seed ${options.seed}: ${options.flows} flows; faults: ${
    [...options.faults].join(" ")
  }; workloads: ${options.workloads.join(" ")}; ${
    JSON.stringify({ ...options, seed: undefined, flows: undefined, faults: undefined, workloads: undefined })
  }`;
}

function withArguments(options: SimOptions, { without, only, flows }: Arguments): SimOptions {
  const left = leavingOut(options, without);
  return { ...(only === null ? left : playingOnly(left, only)), flows: flows ?? options.flows };
}

function parse(args: readonly string[], seedOfToday: number): Arguments | string {
  const unknown: string[] = [];
  const flags = parseArgs([...args], {
    string: ["seed", "runs", "without", "only", "flows"],
    boolean: ["verbose", "help"],
    unknown: (name: string) => {
      unknown.push(name);
      return false;
    },
  });
  if (flags.help) return USAGE;
  if (unknown.length > 0) return `unknown argument ${unknown[0]}\n\n${USAGE}`;
  const seed = flags.seed === undefined ? seedOfToday : Number(flags.seed);
  const runs = flags.runs === undefined ? 1000 : Number(flags.runs);
  const flows = flags.flows === undefined ? null : Number(flags.flows);
  for (const [name, value] of [["seed", seed], ["runs", runs], ["flows", flows ?? 0]] as const) {
    if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
      return `--${name} is ${flags[name]}; a whole number from 0 to 4294967295 is allowed`;
    }
  }
  const without = list(flags.without);
  const only = flags.only === undefined ? null : list(flags.only);
  const badFault = without.find((name) => !(FAULTS as readonly string[]).includes(name));
  if (badFault !== undefined) return `--without names ${badFault}; faults are ${FAULTS.join(", ")}`;
  const badWorkload = only?.find((name) => !Object.hasOwn(ALL_WORKLOADS, name));
  if (badWorkload !== undefined) {
    return `--only names ${badWorkload}; workloads are ${Object.keys(ALL_WORKLOADS).join(", ")}`;
  }
  return {
    seed,
    runs,
    without: without as Fault[],
    only: only as WorkloadName[] | null,
    flows,
    verbose: flags.verbose,
  };
}

function list(value: string | undefined): string[] {
  return (value ?? "").split(",").filter((name) => name !== "");
}

if (import.meta.main) {
  Deno.exitCode = await main(Deno.args, (line) => console.log(line), Math.floor(Date.now() / 1000));
}
