/**
 * How often handshakes failed of late, by host and reason. The window rolls on in steps of a tenth, so that a
 * host needs a few numbers, not a list of times; of the hosts, the one not seen for longest goes first.
 */
import { type Instant, NANOSECONDS_PER_MILLISECOND } from "../core/instant.ts";
import { FAILURE_WINDOW_MS } from "../tls/failure.ts";

const HOSTS_MAX = 4096;
/** A name has at most 253 characters; what a client puts in place of one is not kept whole. */
const HOST_CHARACTERS_MAX = 253;
const STEPS = 10;
const STEP_NS = FAILURE_WINDOW_MS / STEPS * NANOSECONDS_PER_MILLISECOND;

interface HostFailures {
  /** The step that was counted last. */
  step: number;
  /** For each reason the failures in each of the last steps, at `step % STEPS`. */
  readonly reasons: Map<string, Uint32Array>;
}

export class TlsFailureCounters {
  readonly #hosts = new Map<string, HostFailures>();

  /** Counts one more; gives how many there were in the window, this one included. */
  count(host: string, reason: string, now: Instant): { reason: number; total: number } {
    const key = host.slice(0, HOST_CHARACTERS_MAX);
    const step = Math.floor(now / STEP_NS);
    const failures = this.#hosts.get(key) ?? { step, reasons: new Map() };
    this.#hosts.delete(key);
    this.#hosts.set(key, failures);
    if (this.#hosts.size > HOSTS_MAX) this.#hosts.delete(this.#hosts.keys().next().value!);
    rollTo(step, failures);
    let ofReason = failures.reasons.get(reason);
    if (ofReason === undefined) failures.reasons.set(reason, ofReason = new Uint32Array(STEPS));
    ofReason[step % STEPS]!++;
    let total = 0;
    for (const steps of failures.reasons.values()) total += sum(steps);
    return { reason: sum(ofReason), total };
  }
}

/** Forgets what is older than the window. */
function rollTo(step: number, failures: HostFailures): void {
  const oldest = Math.max(failures.step + 1, step - STEPS + 1);
  for (const steps of failures.reasons.values()) {
    for (let at = oldest; at <= step; at++) steps[at % STEPS] = 0;
  }
  failures.step = step;
}

function sum(steps: Uint32Array): number {
  return steps.reduce((total, count) => total + count, 0);
}
