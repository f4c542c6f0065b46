/** Limits for tests: small where a test goes over them, the defaults' otherwise. */
import type { FloodLimits, Http2Limits } from "../../src/http2/limits.ts";

export const FLOODS: FloodLimits = {
  windowMs: 10_000,
  maxResets: 30,
  maxProvokedResets: 20,
  maxPings: 25,
  maxSettings: 10,
  maxPriorities: 35,
  maxEmptyFrames: 40,
  maxWindowUpdates: 45,
};

export const LIMITS: Http2Limits = {
  maxHeaderListSize: 4096,
  maxHeaderFields: 64,
  maxTableBytes: 65_536,
  maxContinuations: 32,
  maxStreams: 100,
  maxSpanBytes: 65_536,
  floods: FLOODS,
  headMs: 1000,
  idleMs: 1000,
  exchangeIdleMs: 1000,
};
