/** What a program that starts a proxy gives and gets; `proxy.ts` does the work. */
import type { CloseReason } from "../core/close_reason.ts";
import type { LoggedEvent } from "../core/event.ts";
import type { Decision, Question } from "../core/session.ts";
import type { Settings } from "../core/settings.ts";

/** Decides a CONNECT or a request; may take its time. */
export type PolicyFunction = (question: Question) => Decision | Promise<Decision>;

export interface Notice {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
}

export interface ProxyOptions {
  readonly settings: Settings;
  /** SHA-256 of the effective settings, for the log's first line. */
  readonly configDigest: string;
  readonly version: string;
  /**
   * Nothing else in this process relies on its default roots for TLS: the proxy may set them, without which no
   * session with a server can be resumed.
   */
  readonly ownsProcess?: boolean;
  /** Replaces the rules and lists of the settings. */
  readonly policy?: PolicyFunction;
  readonly onEvent?: (event: LoggedEvent) => void | Promise<void>;
  readonly onNotice?: (notice: Notice) => void;
  /** Called once everything is open, before the first connection: what is no longer needed can be given up. */
  readonly onOpened?: () => void;
}

export interface ProxyEnd {
  readonly reason: "stopped" | "failed";
  readonly detail: string;
}

export interface ProxyCounters {
  /** Flows accepted since start. */
  readonly flows: number;
  /** Flows whose session is open now. */
  readonly openFlows: number;
  /** Flows that are over, by the reason of their `stream_closed`; attacks end with `limit_exceeded`. */
  readonly closedFlows: Readonly<Partial<Record<CloseReason, number>>>;
  /** Flows with a connection left, those that are flushing included. */
  readonly connectedFlows: number;
  readonly inFlightBytes: number;
  readonly events: number;
  readonly eventsDropped: number;
  readonly leafHits: number;
  readonly leafMisses: number;
  /** Exceptions caught in our own code; 0 unless there is a bug. */
  readonly bugs: number;
}

export interface RunningProxy {
  /** The real addresses, with the ports that were taken. */
  readonly listen: readonly string[];
  readonly caCertPath: string;
  readonly caCertPem: string;
  readonly ended: Promise<ProxyEnd>;
  readonly counters: ProxyCounters;
  /** Stops accepting, lets flows finish for `timeouts.drain`, closes the log. */
  stop(): Promise<void>;
  /** Ends every flow now; the log is still closed in order. */
  abort(): void;
}
