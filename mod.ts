/**
 * soth-mitm as a library: start an intercepting proxy from TypeScript with a policy function and an
 * event consumer. See README.md, "From TypeScript", for a program of ten lines.
 *
 * @module
 */
export type { Authority } from "./src/core/authority.ts";
export type { CloseReason } from "./src/core/close_reason.ts";
export type { EventKind, ExchangeOutcome, LoggedEvent, Protocol } from "./src/core/event.ts";
export type { Action, Decision, DecisionReason, Question } from "./src/core/session.ts";
export type { PolicyRule, Settings } from "./src/core/settings.ts";
export type { Notice, PolicyFunction, ProxyCounters, ProxyEnd } from "./src/runtime/running_proxy.ts";
export { StartError } from "./src/runtime/start_error.ts";
export { replayTlsCallbacks, type TlsReplayResult } from "./src/runtime/tls_replay.ts";
export { type MitmOptions, type MitmProxy, startMitm } from "./src/runtime/library.ts";
