/** What a relay asks of the session that runs it, whatever the HTTP version. */
import type { CloseReason } from "../core/close_reason.ts";
import type { FlowEvent } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import type { Timer } from "../core/session.ts";
import type { Side } from "../core/side.ts";

export interface RelayHost {
  send(side: Side, data: Uint8Array): void;
  reset(side: Side): void;
  pause(side: Side): void;
  resume(side: Side): void;
  arm(timer: Timer, at: Instant): void;
  disarm(timer: Timer): void;
  record(event: FlowEvent): void;
  /** The flow is over. Called once; the relay does nothing afterwards. */
  finish(reason: CloseReason, detail?: string): void;
}
