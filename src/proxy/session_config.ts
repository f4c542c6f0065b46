/** What a session takes of the settings, and what it is given of the platform. */
import { assert } from "../core/assert.ts";
import type { Settings, TlsProfile } from "../core/settings.ts";
import type { CaptureRules } from "../http/exchange_recorder.ts";
import { Budget } from "../observe/budget.ts";
import type { ObserveConfig } from "../observe/flow_observation.ts";
import type { OpenDigest } from "../observe/digest.ts";
import type { InflaterFactory } from "../observe/inflate.ts";
import { OBSERVERS, STREAM_OBSERVERS } from "../observe/registry.ts";
import type { RelayLimits } from "../http1/connection.ts";
import type { Http2Limits } from "../http2/limits.ts";
import { type Origin, parseOrigin } from "./origin.ts";

/** What every session of a proxy shares. The platform's functions are arguments: a session has no access to them. */
export interface SessionConfig {
  readonly connectParseMode: "strict" | "lenient";
  readonly limits: RelayLimits;
  /** In reverse mode: where every flow goes. */
  readonly reverse: Origin | null;
  /** Flows that are designated HTTP/3 are tunnelled. */
  readonly http3Passthrough: boolean;
  readonly http2Enabled: boolean;
  readonly http2Limits: Http2Limits;
  readonly capture: CaptureRules;
  readonly maxFlows: number;
  readonly connectMs: number;
  readonly tlsHandshakeMs: number;
  readonly tunnelIdleMs: number;
  /** No override says otherwise of any host. */
  readonly strictHeaders: boolean;
  readonly tlsProfile: TlsProfile;
  readonly upstreamSniMode: Settings["tls"]["upstreamSniMode"];
  /** `capture.observe`; where not, `observe` is not asked. */
  readonly observes: boolean;
  readonly observe: ObserveConfig;
  /** Policy looks at single requests of intercepted connections, not only at where they go. */
  readonly decidesRequests: boolean;
  /** Policy has rules about ClientHellos: it is asked again when there is one, and tunnels wait for theirs. */
  readonly decidesHellos: boolean;
  readonly md5: (text: string) => string;
  readonly sha256: (text: string) => string;
}

/** What a session needs of the platform. */
export interface SessionPlatform {
  readonly md5: (text: string) => string;
  readonly sha1: (text: string) => string;
  readonly sha256: (text: string) => string;
  readonly inflaters: InflaterFactory;
  readonly openSha256: OpenDigest;
}

export function sessionConfig(
  settings: Settings,
  platform: SessionPlatform,
  asks: Partial<Pick<SessionConfig, "decidesRequests" | "decidesHellos">> = {},
): SessionConfig {
  const redactHeaders = new Set(settings.capture.redactHeaders.map((name) => name.toLowerCase()));
  return {
    connectParseMode: settings.http.connectParseMode,
    limits: {
      maxHeadBytes: settings.http.maxHeadBytes,
      maxHeaderFields: settings.http.maxHeaderFields,
      headMs: settings.timeouts.headMs,
      idleMs: settings.timeouts.idleMs,
      exchangeIdleMs: settings.timeouts.exchangeIdleMs,
    },
    reverse: reverseOrigin(settings.route),
    http3Passthrough: settings.http.http3Passthrough,
    http2Enabled: settings.http.http2Enabled,
    http2Limits: http2Limits(settings),
    capture: {
      bodyBytes: settings.capture.bodyBytes,
      redactHeaders,
    },
    maxFlows: settings.limits.maxFlows,
    connectMs: settings.timeouts.connectMs,
    tlsHandshakeMs: settings.timeouts.tlsHandshakeMs,
    tunnelIdleMs: settings.timeouts.tunnelIdleMs,
    strictHeaders: settings.overrides.every(({ strictHeaders }) => strictHeaders),
    tlsProfile: settings.tls.profile,
    upstreamSniMode: settings.tls.upstreamSniMode,
    decidesRequests: asks.decidesRequests ?? false,
    decidesHellos: asks.decidesHellos ?? false,
    observes: settings.capture.observe,
    observe: {
      observers: OBSERVERS,
      streamObservers: STREAM_OBSERVERS,
      silenceMs: settings.timeouts.wsTurnIdleMs,
      sha1: platform.sha1,
      limits: {
        captureBytes: settings.capture.bodyBytes,
        payloadBytes: Math.min(settings.capture.payloadBytes, settings.capture.bodyBytes),
        decoderBufferBytes: settings.limits.decoderBufferBytes,
        inflateRatio: settings.limits.inflateRatio,
        inflateBytes: settings.limits.inflateBytes,
      },
      inflaters: platform.inflaters,
      openSha256: platform.openSha256,
      redactHeaders,
      processBudget: new Budget(settings.limits.maxInFlightBytes),
    },
    md5: platform.md5,
    sha256: platform.sha256,
  };
}

export function http2Limits({ http, limits, timeouts }: Settings): Http2Limits {
  return {
    maxHeaderListSize: http.http2MaxHeaderListSize,
    maxHeaderFields: http.maxHeaderFields,
    maxTableBytes: http.http2MaxTableSize,
    maxContinuations: http.http2MaxContinuations,
    maxStreams: http.http2MaxStreams,
    maxSpanBytes: limits.decoderBufferBytes,
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

function reverseOrigin({ mode, reverseOrigin }: Settings["route"]): Origin | null {
  if (mode === "forward") return null;
  const origin = parseOrigin(reverseOrigin ?? "");
  assert(!("detail" in origin), "the origin was checked when the settings were read");
  return origin;
}
