/**
 * What a run is made of, all of it from the seed. Each run turns on some of the faults and some of the
 * workloads only ("swarm"): a world in which everything goes wrong at once never gets far enough to go
 * wrong in an interesting way.
 */
import type { LinkConditions } from "./link.ts";
import { CALM } from "./link.ts";
import { Random } from "./random.ts";
import { HTTP2_WORKLOADS, type WorkloadName, WORKLOADS } from "./workloads.ts";

/** The first group only costs time: a flow with no other fault must still come out right. */
export const MILD_FAULTS = [
  "split",
  "merge",
  "delay",
  "congestion",
  "drip",
  "sip",
  "slow_policy",
  "slow_dial",
  "full_log",
] as const;
export const HARSH_FAULTS = [
  "break",
  "stall",
  "quit",
  "deaf",
  "late_data",
  "small_budget",
  "few_flows",
  "stop",
] as const;
export const FAULTS = [...MILD_FAULTS, ...HARSH_FAULTS] as const;
export type Fault = typeof FAULTS[number];

export interface SimOptions {
  readonly seed: number;
  readonly flows: number;
  readonly faults: ReadonlySet<Fault>;
  readonly workloads: readonly WorkloadName[];
  /** The proxy observes HTTP/2. */
  readonly http2: boolean;
  readonly timeouts: {
    readonly headMs: number;
    readonly connectMs: number;
    readonly tlsHandshakeMs: number;
    readonly idleMs: number;
    readonly exchangeIdleMs: number;
    readonly tunnelIdleMs: number;
    readonly drainMs: number;
  };
  readonly captureBytes: number;
  readonly flowBufferBytes: number;
  readonly maxInFlightBytes: number;
  readonly maxFlows: number;
}

export function chooseOptions(seed: number): SimOptions {
  const random = new Random(seed);
  const faults = new Set(random.subset(FAULTS));
  const names = Object.keys(WORKLOADS) as WorkloadName[];
  const flows = random.between(1, 8);
  const workloads = random.subset(names);
  const options: SimOptions = {
    seed,
    flows,
    faults,
    workloads,
    http2: false,
    timeouts: {
      headMs: random.pick([6_000, 15_000]),
      connectMs: random.pick([5_000, 10_000]),
      tlsHandshakeMs: random.pick([6_000, 10_000]),
      idleMs: random.pick([8_000, 60_000]),
      exchangeIdleMs: random.pick([12_000, 120_000]),
      tunnelIdleMs: random.pick([12_000, 120_000]),
      drainMs: random.pick([500, 5_000]),
    },
    captureBytes: random.pick([0, 100, 20_000, 1 << 20]),
    flowBufferBytes: random.pick([20_000, 65_536, 1 << 20]),
    maxInFlightBytes: faults.has("small_budget") ? random.pick([20_000, 100_000]) : MUCH_BUDGET,
    maxFlows: faults.has("few_flows") ? random.between(1, 3) : MANY_FLOWS,
  };
  const http2 = http2Workloads(seed);
  // A flow of many streams is worth several of HTTP/1.
  return http2 === null ? options : { ...playingOnly(options, http2), flows: Math.ceil(flows / 2) };
}

/** The same with other workloads. */
export function playingOnly(options: SimOptions, workloads: readonly WorkloadName[]): SimOptions {
  const http2 = workloads.some((name) => Object.hasOwn(HTTP2_WORKLOADS, name));
  // A stream may wait long for its turn among many that a slow reader lets through.
  const timeouts = http2 ? { ...options.timeouts, exchangeIdleMs: 240_000 } : options.timeouts;
  return { ...options, workloads, http2, timeouts };
}

/** Of such seeds HTTP/2 is the subject. Drawn apart, so that others mean what they did before it was played. */
function http2Workloads(seed: number): readonly WorkloadName[] | null {
  const random = new Random(seed ^ HTTP2_SEEDS);
  if (!random.chance(HTTP2_SHARE)) return null;
  const names = Object.keys(HTTP2_WORKLOADS) as WorkloadName[];
  const beside: readonly WorkloadName[] = random.chance(0.2) ? ["exchanges", "tunnel"] : [];
  return [...random.subset(names), ...beside];
}

const HTTP2_SHARE = 0.3;
/** With it no seed that once found something in HTTP/1 has become one of HTTP/2. */
const HTTP2_SEEDS = 4;

/** The same flows in a world where nothing goes wrong. */
export function withoutFaults(options: SimOptions): SimOptions {
  return { ...options, faults: new Set(), maxFlows: MANY_FLOWS, maxInFlightBytes: MUCH_BUDGET };
}

/** `options` without some of its faults. */
export function leavingOut(options: SimOptions, left: readonly Fault[]): SimOptions {
  const faults = new Set([...options.faults].filter((fault) => !left.includes(fault)));
  return {
    ...options,
    faults,
    maxFlows: faults.has("few_flows") ? options.maxFlows : MANY_FLOWS,
    maxInFlightBytes: faults.has("small_budget") ? options.maxInFlightBytes : MUCH_BUDGET,
  };
}

const MANY_FLOWS = 4096;
const MUCH_BUDGET = 64 << 20;

/** The phase of faults lasts so long; afterwards nothing new goes wrong. */
export const FAULT_PHASE_MS = 30_000;

/** The longest that a flow can take when nothing disturbs it any more: every timer once, and the linger. */
export function patienceMs({ timeouts }: SimOptions): number {
  return 2 * Object.values(timeouts).reduce((sum, timeout) => sum + timeout, 0) + 60_000;
}

/** What a slow reader takes at a time. */
export const SIP_BYTES = 8_192;

/** What a link is like in the phase of faults. */
export function linkConditions(options: SimOptions, random: Random, isHarsh: boolean): LinkConditions {
  const has = (fault: Fault) => options.faults.has(fault) && random.chance(0.7);
  const isCongested = has("congestion");
  const sips = has("sip");
  const stalls = isHarsh && has("stall");
  return {
    segmentBytesMax: has("split") ? random.pick([1, 3, 20, 300]) : CALM.segmentBytesMax,
    delayMsMax: has("delay") ? random.pick([5, 30]) : CALM.delayMsMax,
    mergeMsMax: has("merge") ? random.pick([1, 20]) : 0,
    stallChance: stalls ? 0.05 : 0,
    stallMsMax: stalls ? random.pick([500, 5_000, 20_000]) : 0,
    // Whoever sips empties the kernel's buffer at each turn.
    capacityBytes: sips ? SIP_BYTES : isCongested ? random.pick([4_096, 30_000]) : CALM.capacityBytes,
    highWaterBytes: isCongested ? random.pick([1_000, 16_384]) : CALM.highWaterBytes,
  };
}
