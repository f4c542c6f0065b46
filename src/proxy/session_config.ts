/** What a session takes of the settings, and the hashes it is given. */
import type { Settings } from "../core/settings.ts";
import type { CaptureRules } from "../http/exchange_recorder.ts";
import type { RelayLimits } from "../http1/relay.ts";
import type { Http2Limits } from "../http2/limits.ts";

/** What every session of a proxy shares. Hashes are arguments: a session has no access to the platform's. */
export interface SessionConfig {
  readonly connectParseMode: "strict" | "lenient";
  readonly limits: RelayLimits;
  readonly http2Enabled: boolean;
  readonly http2Limits: Http2Limits;
  readonly capture: CaptureRules;
  readonly maxFlows: number;
  readonly connectMs: number;
  readonly tlsHandshakeMs: number;
  readonly tunnelIdleMs: number;
  readonly upstreamSniMode: Settings["tls"]["upstreamSniMode"];
  readonly md5: (text: string) => string;
  readonly sha256: (text: string) => string;
}

export function sessionConfig(
  settings: Settings,
  hashes: { md5: (text: string) => string; sha256: (text: string) => string },
): SessionConfig {
  return {
    connectParseMode: settings.http.connectParseMode,
    limits: {
      maxHeadBytes: settings.http.maxHeadBytes,
      maxHeaderFields: settings.http.maxHeaderFields,
      headMs: settings.timeouts.headMs,
      idleMs: settings.timeouts.idleMs,
      exchangeIdleMs: settings.timeouts.exchangeIdleMs,
    },
    http2Enabled: settings.http.http2Enabled,
    http2Limits: http2Limits(settings),
    capture: {
      bodyBytes: settings.capture.bodyBytes,
      redactHeaders: new Set(settings.capture.redactHeaders.map((name) => name.toLowerCase())),
    },
    maxFlows: settings.limits.maxFlows,
    connectMs: settings.timeouts.connectMs,
    tlsHandshakeMs: settings.timeouts.tlsHandshakeMs,
    tunnelIdleMs: settings.timeouts.tunnelIdleMs,
    upstreamSniMode: settings.tls.upstreamSniMode,
    md5: hashes.md5,
    sha256: hashes.sha256,
  };
}

function http2Limits({ http, timeouts }: Settings): Http2Limits {
  return {
    maxHeaderListSize: http.http2MaxHeaderListSize,
    maxHeaderFields: http.maxHeaderFields,
    maxTableBytes: http.http2MaxTableSize,
    maxContinuations: http.http2MaxContinuations,
    maxStreams: http.http2MaxStreams,
    floods: {
      windowMs: http.http2FloodWindowMs,
      maxResets: http.http2MaxResets,
      maxProvokedResets: http.http2MaxProvokedResets,
      maxPings: http.http2MaxPings,
      maxSettings: http.http2MaxSettings,
      maxPriorities: http.http2MaxPriorities,
      maxEmptyFrames: http.http2MaxEmptyFrames,
      maxWindowUpdates: http.http2MaxWindowUpdates,
    },
    headMs: timeouts.headMs,
    idleMs: timeouts.idleMs,
    exchangeIdleMs: timeouts.exchangeIdleMs,
  };
}
