/** The library's way to start a proxy: plain options with the contract's names, and events to iterate over. */
import type { LoggedEvent } from "../core/event.ts";
import type { Action, Decision, Question } from "../core/session.ts";
import { DIRECTORY_VARIABLES, type Environment } from "./config/directories.ts";
import { settingsFromValues } from "./config/load.ts";
import { ACTIONS } from "./config/schema.ts";
import { EventStream } from "./event_stream.ts";
import { startProxy } from "./proxy.ts";
import type { Notice, ProxyCounters, ProxyEnd } from "./running_proxy.ts";
import { VERSION } from "./version.ts";

export interface MitmOptions {
  /**
   * Settings by their configuration keys, nested as in a configuration file:
   * `{ listen: ["127.0.0.1:0"], capture: { body_bytes: 0 } }`. Unknown keys are errors; all have defaults.
   */
  readonly settings?: Readonly<Record<string, unknown>>;
  /**
   * Decides each CONNECT and each request, plain or on an intercepted connection, in place of the rules in the
   * settings. While a promise it gave is open, what the client sent behind that request waits.
   */
  readonly policy?: (question: Question) => Action | Decision | Promise<Action | Decision>;
  /** Called for each event in order. A promise it returns is waited for: a slow consumer slows the relay. */
  readonly onEvent?: (event: LoggedEvent) => void | Promise<void>;
  readonly onNotice?: (notice: Notice) => void;
}

export interface MitmProxy extends AsyncDisposable {
  /** The real addresses, e.g. `["127.0.0.1:43123"]`. */
  readonly listen: readonly string[];
  readonly caCertPath: string;
  readonly caCertPem: string;
  readonly counters: ProxyCounters;
  /** Resolves when the proxy has ended: after `stop`, or because it failed. */
  readonly ended: Promise<ProxyEnd>;
  /** Events from now on; ends with the proxy. Each call is a reader of its own. */
  events(): AsyncIterable<LoggedEvent>;
  /** Stops accepting and drains for at most `timeouts.drain`. */
  stop(): Promise<void>;
  abort(): void;
}

/** Starts a proxy and resolves when it accepts connections; throws a `StartError` that says what to mend. */
export async function startMitm(options: MitmOptions = {}): Promise<MitmProxy> {
  const { settings, digest, warnings } = settingsFromValues({
    values: options.settings ?? {},
    // A program says itself what it wants; the environment only tells where the data directory is.
    env: directoryEnvironment(),
    cwd: Deno.cwd(),
  });
  for (const message of warnings) options.onNotice?.({ level: "warn", message });
  const streams = new Set<EventStream<LoggedEvent>>();
  const { policy, onEvent } = options;
  const proxy = await startProxy({
    settings,
    configDigest: digest,
    version: VERSION,
    ...(policy === undefined ? {} : {
      policy: (question) => {
        const answer = policy(question);
        return answer instanceof Promise ? answer.then(asDecision) : asDecision(answer);
      },
    }),
    ...(options.onNotice === undefined ? {} : { onNotice: options.onNotice }),
    onEvent: (event) => {
      const waits = [onEvent?.(event), ...[...streams].map((stream) => stream.push(event))]
        .filter((wait) => wait instanceof Promise);
      return waits.length === 0 ? undefined : Promise.all(waits).then(() => {});
    },
  });
  proxy.ended.then(() => {
    for (const stream of streams) stream.end();
  });
  return {
    listen: proxy.listen,
    caCertPath: proxy.caCertPath,
    get caCertPem() {
      return proxy.caCertPem;
    },
    get counters() {
      return proxy.counters;
    },
    ended: proxy.ended,
    events: () => {
      const stream = new EventStream<LoggedEvent>(() => streams.delete(stream));
      streams.add(stream);
      return stream;
    },
    stop: () => proxy.stop(),
    abort: () => proxy.abort(),
    [Symbol.asyncDispose]: () => proxy.stop(),
  };
}

/**
 * A bare action is the caller's own override of the rules. What is no action throws, which ends the flow: a
 * program without types that misspells `block` must not let everything through.
 */
function asDecision(answer: Action | Decision): Decision {
  const action: unknown = typeof answer === "string" ? answer : answer?.action;
  if (!ACTIONS.some((known) => known === action)) {
    throw new TypeError(
      `The policy function gave the action ${JSON.stringify(action)}; allowed are ${ACTIONS.join(", ")}`,
    );
  }
  return typeof answer === "string" ? { action: answer, reason: "override", ruleId: null } : answer;
}

function directoryEnvironment(): Environment {
  const environment: Record<string, string> = {};
  for (const name of DIRECTORY_VARIABLES) {
    if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") continue;
    const value = Deno.env.get(name);
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
