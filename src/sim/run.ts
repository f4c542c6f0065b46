/** One run from a seed: a phase of faults, then one without, and every checker over what is left. */
import { NANOSECONDS_PER_MILLISECOND } from "../core/instant.ts";
import { type CheckerName, CHECKERS } from "./checkers.ts";
import { differenceOfEvents } from "./event_difference.ts";
import { FAULT_PHASE_MS, patienceMs, type SimOptions, withoutFaults } from "./options.ts";
import { Random } from "./random.ts";
import { ALL_WORKLOADS, GOOD_HTTP2_WORKLOADS, GOOD_WORKLOADS } from "./workloads.ts";
import { type MakeSession, SimWorld } from "./world.ts";

export interface Violation {
  readonly checker: CheckerName | "same_seed_same_log" | "same_bytes_same_events";
  readonly detail: string;
}

export interface Outcome {
  readonly seed: number;
  readonly violations: readonly Violation[];
  readonly lines: readonly string[];
  readonly sha256: string;
  readonly flows: number;
  /** How long the run took in its own time. */
  readonly virtualMs: number;
}

/** How many flows come when nothing goes wrong any more. */
const CALM_FLOWS = 2;
/** For what is under way when the last flow is gone: bytes that nobody takes, closed connections. */
const AFTERMATH_MS = 60_000;

/** `makeSession` is for canaries: sessions that are broken on purpose. */
export async function simulate(options: SimOptions, makeSession?: MakeSession): Promise<Outcome> {
  return outcomeOf(options, await runWorld(options, makeSession));
}

/** Runs twice: the same seed must give the same log. */
export async function simulateTwice(options: SimOptions, makeSession?: MakeSession): Promise<Outcome> {
  const first = await simulate(options, makeSession);
  const second = await simulate(options, makeSession);
  if (first.sha256 === second.sha256) return first;
  const at = first.lines.findIndex((line, index) => line !== second.lines[index]);
  return {
    ...first,
    violations: [...first.violations, {
      checker: "same_seed_same_log",
      detail: `line ${at + 1} is ${first.lines[at]?.slice(0, 300)} and ${second.lines[at]?.slice(0, 300)}`,
    }],
  };
}

/** Runs once more without any fault: what is sound must give the same events, however its bytes were cut up. */
export async function simulateWithCalmTwin(options: SimOptions, makeSession?: MakeSession): Promise<Outcome> {
  const world = await runWorld(options, makeSession);
  const twin = await runWorld(withoutFaults(options), makeSession);
  const outcome = outcomeOf(options, world);
  const violations = [...outcome.violations];
  world.flows.forEach((flow, index) => {
    const isComparable = flow.isSound && !flow.plan.dependsOnTime;
    const difference = isComparable ? differenceOfEvents(flow, twin.flows[index]!) : null;
    if (difference === null) return;
    violations.push({
      checker: "same_bytes_same_events",
      detail: `flow ${flow.id} (${flow.plan.name}): ${difference}`,
    });
  });
  return { ...outcome, violations };
}

async function runWorld(options: SimOptions, makeSession?: MakeSession): Promise<SimWorld> {
  const random = new Random(options.seed ^ 0x50715);
  const world = new SimWorld(options, random.fork(), makeSession);
  const { clock } = world;
  const { http2 } = options;
  let awaited = options.flows + CALM_FLOWS;
  for (let flow = 1; flow <= options.flows; flow++) {
    const own = random.fork();
    const plan = ALL_WORKLOADS[own.pick(options.workloads)]({ random: own, flow, http2 });
    const isHarsh = own.chance(0.5);
    clock.after(own.below(FAULT_PHASE_MS / 2), () => {
      awaited--;
      world.accept(plan, isHarsh, own);
    });
  }
  const stopAt = random.below(FAULT_PHASE_MS);
  if (options.faults.has("stop")) clock.after(stopAt, () => world.stop());
  clock.after(FAULT_PHASE_MS, () => world.calm());
  for (let flow = 1; flow <= CALM_FLOWS; flow++) {
    const own = random.fork();
    const workload = own.pick(http2 ? GOOD_HTTP2_WORKLOADS : GOOD_WORKLOADS);
    const plan = ALL_WORKLOADS[workload]({ random: own, flow: options.flows + flow, http2 });
    clock.after(FAULT_PHASE_MS + 10 * flow, () => {
      awaited--;
      world.accept(plan, false, own);
    });
  }
  const limit = (FAULT_PHASE_MS + patienceMs(options)) * NANOSECONDS_PER_MILLISECOND;
  await clock.run(limit, () => awaited > 0 || world.aliveFlows > 0);
  world.endedAt = clock.now();
  await clock.run(clock.now() + AFTERMATH_MS * NANOSECONDS_PER_MILLISECOND);
  return world;
}

function outcomeOf(options: SimOptions, world: SimWorld): Outcome {
  const violations: Violation[] = [];
  for (const checker of Object.keys(CHECKERS) as CheckerName[]) {
    CHECKERS[checker](world, (detail) => violations.push({ checker, detail }));
  }
  return {
    seed: options.seed,
    violations,
    lines: world.log.lines,
    sha256: world.log.sha256(),
    flows: world.flows.length,
    virtualMs: Math.round(world.endedAt / NANOSECONDS_PER_MILLISECOND),
  };
}
