/**
 * Exceptions that nobody caught. Each is a bug of ours, but what one hostile peer can bring about must not end
 * everybody's flows: it is reported, and the proxy runs on. Whatever the exception left undone, the flow's
 * own timers end it.
 */
import { visible } from "../log/visible.ts";
import type { Notice } from "../runtime/running_proxy.ts";

/** More are only counted: a peer that knows how could fill the disk that the notices go to. */
export const REPORTED_BUGS_MAX = 100;
const STACK_CHARACTERS_MAX = 4_000;
/** What an exception has interrupted for good is not heard of again; what goes on all the same is over by then. */
const PATIENCE_MS = 1_000;

export interface BugWatch {
  readonly count: number;
  /** Gives what `work` gives; where it does not end soon after the first such exception, that is why it fails. */
  during<T>(work: Promise<T>): Promise<T>;
  /** Stops watching, and says how many there were where not all were reported. Called before the last line. */
  end(): void;
}

/** Keeps the process alive through exceptions and rejections that reach the top. */
export function watchForBugs(notify: (notice: Notice) => void): BugWatch {
  let count = 0;
  const first = Promise.withResolvers<unknown>();
  const report = (error: unknown) => {
    if (++count === 1) first.resolve(error);
    if (count > REPORTED_BUGS_MAX) return;
    const last = count === REPORTED_BUGS_MAX ? "\nfurther ones are only counted" : "";
    const message = `this is a bug in soth-mitm, which goes on; please report it: ${describe(error)}${last}`;
    notify({ level: "error", message });
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    report(event.error);
  };
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    report(event.reason);
  };
  globalThis.addEventListener("error", onError);
  globalThis.addEventListener("unhandledrejection", onRejection);
  return {
    get count() {
      return count;
    },
    during(work) {
      const interrupted = first.promise.then(async (error) => {
        await new Promise((resolve) => setTimeout(resolve, PATIENCE_MS));
        throw error;
      });
      return Promise.race([work, interrupted]);
    },
    end() {
      globalThis.removeEventListener("error", onError);
      globalThis.removeEventListener("unhandledrejection", onRejection);
      if (count <= REPORTED_BUGS_MAX) return;
      const message = `there were ${count} such bugs; the first ${REPORTED_BUGS_MAX} are reported above`;
      notify({ level: "error", message });
    },
  };
}

/** The stack, with nothing in it that moves a terminal's cursor: messages may quote what a peer sent. */
function describe(error: unknown): string {
  const text = error instanceof Error ? error.stack ?? error.message : `${typeof error} ${safeText(error)}`;
  return text.slice(0, STACK_CHARACTERS_MAX).split("\n").map(visible).join("\n");
}

/** Anything can be thrown, also what cannot be made a text of. */
function safeText(value: unknown): string {
  try {
    return String(value);
  } catch {
    return "without a text";
  }
}
