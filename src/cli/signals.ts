/** The signals that stop the proxy: the first lets it finish, the second ends it at once. */

/** Windows knows Ctrl-C and Ctrl-Break only. SIGHUP is left alone: listening to it would undo `nohup`. */
export function stopSignals(platform: typeof Deno.build.os): readonly Deno.Signal[] {
  return platform === "windows" ? ["SIGINT", "SIGBREAK"] : ["SIGINT", "SIGTERM"];
}

/** Listens until the returned function is called. */
export function onSignals(
  signals: readonly Deno.Signal[],
  handle: (signal: Deno.Signal) => void,
): () => void {
  const listeners = signals.map((signal) => [signal, () => handle(signal)] as const);
  for (const [signal, listener] of listeners) Deno.addSignalListener(signal, listener);
  return () => {
    for (const [signal, listener] of listeners) Deno.removeSignalListener(signal, listener);
  };
}

/** A terminal's Ctrl-C reaches the whole process group, and `deno task` hands its own copy on as well. */
const SAME_KEYPRESS_MS = 100;

export interface StopSteps {
  finish(): void;
  endNow(): void;
}

/** Turns signals into steps. `atTerminal`: a second SIGINT of the same keypress does not count. */
export class StopRequests {
  #received = 0;
  #interruptedAt = -Infinity;

  constructor(
    private readonly steps: StopSteps,
    private readonly atTerminal: boolean,
    private readonly now: () => number = () => performance.now(),
  ) {}

  receive(signal: Deno.Signal): void {
    if (signal === "SIGINT" && this.atTerminal) {
      const echo = this.now() - this.#interruptedAt < SAME_KEYPRESS_MS;
      this.#interruptedAt = this.now();
      if (echo) return;
    }
    this.#received++;
    if (this.#received === 1) this.steps.finish();
    else this.steps.endNow();
  }
}
