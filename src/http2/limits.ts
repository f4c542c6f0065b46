/** What the HTTP/2 relay is bounded by; every number comes from a setting. */

/** How many of each one side may send within `windowMs`; see `flood_guard.ts`. */
export interface FloodLimits {
  readonly windowMs: number;
  readonly maxResets: number;
  readonly maxProvokedResets: number;
  readonly maxPings: number;
  readonly maxSettings: number;
  readonly maxPriorities: number;
  readonly maxEmptyFrames: number;
  readonly maxWindowUpdates: number;
}

export interface Http2Limits {
  /** RFC 9113 §6.5.2 accounting. */
  readonly maxHeaderListSize: number;
  readonly maxHeaderFields: number;
  /** The largest HPACK table that is followed, whatever the peers agree on. */
  readonly maxTableBytes: number;
  readonly maxContinuations: number;
  /** Streams open at once. */
  readonly maxStreams: number;
  /** What the bodies of all streams may hold for the log until their spans are full. */
  readonly maxSpanBytes: number;
  readonly floods: FloodLimits;
  readonly headMs: number;
  readonly idleMs: number;
  readonly exchangeIdleMs: number;
}
