/**
 * What is learned of clients that do not take our certificates: evidence in, and a bypass with an end out.
 *
 * A client is known by the JA4 of its ClientHello and an entry holds for one exact host; neither a parent
 * domain nor a child, nor another client, is let through by it. Only what cannot be mistaken counts: the
 * client's own alert that it does not know the CA. All else, inferred signals above all, changes nothing here
 * and is only given its reason, for the log. A bypass ends at its time however much it is used; then the
 * evidence has to come anew.
 *
 * Blocks are not known here: whoever asks has decided to intercept.
 */
import type { ClientTlsFailure, LearningKey, LearningNote } from "../core/session.ts";
import type { Settings } from "../core/settings.ts";

/** What clients failed at, not enough of it yet. The one that failed longest ago goes first. */
export const COUNTED_MAX = 4_096;
/** Bypasses in force. The one that was used longest ago goes first. */
export const LEARNED_MAX = 1_024;
/** No name in DNS is longer; what is longer cannot be dialled and must not be kept. */
export const HOST_LENGTH_MAX = 255;
/** What the TLS stack said is kept to this many characters. */
export const ERROR_LENGTH_MAX = 200;

export interface LearningRules {
  readonly mode: "off" | "suggest" | "on";
  readonly failuresNeeded: number;
  readonly windowMs: number;
  readonly ttlMs: number;
}

/** Times are milliseconds of the wall clock, because an entry outlives its process. */
export interface LearnedBypass extends LearningKey {
  readonly learnedMs: number;
  readonly expiresMs: number;
  readonly evidence: {
    readonly failures: number;
    readonly firstMs: number;
    readonly lastMs: number;
    /** The last failure, as the TLS stack said it. */
    readonly error: string;
  };
}

export function learningRules(tls: Settings["tls"]): LearningRules {
  return {
    mode: tls.learnedBypass,
    failuresNeeded: tls.learnedBypassFailures,
    windowMs: tls.learnedBypassWindowMs,
    ttlMs: tls.learnedBypassTtlMs,
  };
}

/** In force at this instant. One from the future is of a clock that was put back: nobody knows how old it is. */
export function isInForce({ learnedMs, expiresMs }: LearnedBypass, nowMs: number): boolean {
  return learnedMs <= nowMs && nowMs < expiresMs;
}

/** Failures of one client with one host. */
interface Counted {
  /** When, in order; never as many as are needed. */
  readonly times: readonly number[];
  /** Until when what there is to suggest has been said. */
  readonly suggestedUntilMs: number;
}

const NONE: Counted = { times: [], suggestedUntilMs: -Infinity };

export class Learning {
  readonly #counted = new Map<string, Counted>();
  readonly #learned = new Map<string, LearnedBypass>();

  constructor(private readonly rules: LearningRules) {}

  /** What is in force. */
  entries(nowMs: number): LearnedBypass[] {
    return [...this.#learned.values()].filter((entry) => isInForce(entry, nowMs));
  }

  /** Takes over what is known elsewhere, in place of what is in force here; what has ended is still to be said. */
  replace(entries: Iterable<LearnedBypass>, nowMs: number): void {
    for (const [key, entry] of this.#learned) {
      if (isInForce(entry, nowMs)) this.#learned.delete(key);
    }
    for (const entry of entries) this.#keep(entry);
  }

  /** Null: nothing is learned at all. */
  failed(failure: ClientTlsFailure, nowMs: number): LearningNote | null {
    if (this.rules.mode === "off") return null;
    if (failure.sourceConfidence !== "authoritative") return this.#ignored("inferred");
    if (failure.normalizedReason !== "unknown_ca") return this.#ignored("not_unknown_ca");
    if (failure.bar !== null) return this.#ignored(failure.bar);
    if (failure.host.length > HOST_LENGTH_MAX) return this.#ignored("not_tunnelable");
    const key = keyOf(failure);
    const known = this.#learned.get(key);
    if (this.rules.mode === "on" && known !== undefined && isInForce(known, nowMs)) {
      return this.#ignored("already_learned", known.evidence.failures, known.expiresMs - nowMs);
    }
    const counted = this.#counted.get(key) ?? NONE;
    if (nowMs < counted.suggestedUntilMs) {
      return this.#ignored("already_suggested", 0, counted.suggestedUntilMs - nowMs);
    }
    // A time from the future is of a clock that was put back, and as good as long ago.
    const times = [...counted.times.filter((at) => at <= nowMs && nowMs - at < this.rules.windowMs), nowMs];
    if (times.length < this.rules.failuresNeeded) {
      this.#count(key, { times, suggestedUntilMs: -Infinity });
      return this.#note("counted", "below_threshold", times.length);
    }
    if (this.rules.mode === "suggest") {
      this.#count(key, { times: [], suggestedUntilMs: nowMs + this.rules.ttlMs });
      return this.#note("suggested", "threshold", times.length, this.rules.ttlMs);
    }
    this.#counted.delete(key);
    this.#keep({
      host: failure.host,
      fingerprint: failure.fingerprint,
      learnedMs: nowMs,
      expiresMs: nowMs + this.rules.ttlMs,
      evidence: {
        failures: times.length,
        firstMs: times[0]!,
        lastMs: nowMs,
        error: failure.error.slice(0, ERROR_LENGTH_MAX),
      },
    });
    return this.#note("learned", "threshold", times.length, this.rules.ttlMs);
  }

  /** The entry in force for this very client and host. */
  find(client: LearningKey, nowMs: number): LearnedBypass | null {
    const entry = this.#learned.get(keyOf(client));
    return entry !== undefined && isInForce(entry, nowMs) ? entry : null;
  }

  /** What a client that comes back is let through for; that an entry has ended is said once. */
  bypass(client: LearningKey, nowMs: number): LearningNote | null {
    if (this.rules.mode !== "on") return null;
    const key = keyOf(client);
    const entry = this.#learned.get(key);
    if (entry === undefined) return null;
    this.#learned.delete(key);
    const { failures } = entry.evidence;
    if (!isInForce(entry, nowMs)) return this.#note("expired", "ttl", failures);
    this.#learned.set(key, entry);
    return this.#note("bypassed", "bypass", failures, entry.expiresMs - nowMs);
  }

  #keep(entry: LearnedBypass): void {
    insertLast(this.#learned, keyOf(entry), entry, LEARNED_MAX);
  }

  #count(key: string, counted: Counted): void {
    insertLast(this.#counted, key, counted, COUNTED_MAX);
  }

  #ignored(reason: LearningNote["reason"], failures = 0, expiresInMs?: number): LearningNote {
    return this.#note("ignored", reason, failures, expiresInMs);
  }

  #note(
    outcome: LearningNote["outcome"],
    reason: LearningNote["reason"],
    failures: number,
    expiresInMs?: number,
  ): LearningNote {
    const { failuresNeeded } = this.rules;
    return {
      outcome,
      reason,
      failures,
      failuresNeeded,
      ...(expiresInMs === undefined ? {} : { expiresInMs }),
    };
  }
}

/** A fingerprint holds no space. */
function keyOf({ host, fingerprint }: LearningKey): string {
  return `${fingerprint} ${host}`;
}

/** A Map keeps the order of insertion: the first is what was not touched for longest. */
function insertLast<Value>(map: Map<string, Value>, key: string, value: Value, max: number): void {
  map.delete(key);
  if (map.size >= max) map.delete(map.keys().next().value!);
  map.set(key, value);
}
