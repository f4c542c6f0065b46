/**
 * The effective configuration as every layer sees it: plain data, durations in milliseconds,
 * sizes in bytes. Names follow the configuration keys, camel-cased, with the unit last.
 */
import type { Action } from "./session.ts";

export interface PolicyRule {
  readonly id: string;
  readonly hosts: readonly string[];
  readonly ports?: readonly number[];
  /** Globs on the path of a request, without its query. With these or `methods` a rule speaks of requests alone. */
  readonly paths?: readonly string[];
  readonly methods?: readonly string[];
  /** With one of these a rule speaks of ClientHellos: patterns for the server name, fingerprints, protocols offered. */
  readonly sni?: readonly string[];
  readonly ja4?: readonly string[];
  readonly alpn?: readonly string[];
  /** What it matches is HTTP/3; `action` is what holds where that is not passed through. */
  readonly http3?: true;
  readonly action: Action;
}

export type TlsProfile = "strict" | "default" | "compat";

/** What failures of clients that do not take the CA lead to; see `policy/learning.ts`. */
export type LearnedBypassMode = "off" | "suggest" | "on";

/** What holds for some hosts in place of the settings; see `policy/overrides.ts`. */
export interface HostOverride {
  readonly id: string;
  readonly hosts: readonly string[];
  readonly forceTunnel: boolean;
  readonly disableH2: boolean;
  readonly skipUpstreamVerify: boolean;
  /** Paths of PEM files; both or neither. */
  readonly clientCert?: string;
  readonly clientKey?: string;
  /** What goes to these hosts is HTTP/3, and passed through. */
  readonly http3: boolean;
  /** Responses lose their Alt-Svc, so that clients stay on TCP. */
  readonly stripAltSvc: boolean;
  /** False: fields that break a rule go through, as far as `http1/tolerance.ts` and its like in HTTP/2 say. */
  readonly strictHeaders: boolean;
  /** Null: `tls.profile`. */
  readonly profile: TlsProfile | null;
}

export interface Settings {
  readonly listen: readonly string[];
  readonly stateDir: string;
  readonly overrides: readonly HostOverride[];
  readonly policy: {
    readonly default: Action;
    readonly ignoreHosts: readonly string[];
    readonly blockHosts: readonly string[];
    readonly rules: readonly PolicyRule[];
  };
  readonly route: {
    readonly mode: "forward" | "reverse";
    /** `https://host:port` or `http://host:port`; not null in reverse mode, null in forward mode. */
    readonly reverseOrigin: string | null;
  };
  readonly http: {
    readonly connectParseMode: "strict" | "lenient";
    readonly maxHeadBytes: number;
    readonly maxHeaderFields: number;
    readonly http3Passthrough: boolean;
    readonly http2Enabled: boolean;
    readonly http2MaxHeaderListSize: number;
    readonly http2MaxTableSize: number;
    readonly http2MaxContinuations: number;
    readonly http2MaxStreams: number;
    /** The span in which the budgets below are counted, for each side of a connection. */
    readonly http2FloodWindowMs: number;
    readonly http2MaxResets: number;
    readonly http2MaxProvokedResets: number;
    readonly http2MaxPings: number;
    readonly http2MaxSettings: number;
    readonly http2MaxPriorities: number;
    readonly http2MaxEmptyFrames: number;
    readonly http2MaxWindowUpdates: number;
  };
  readonly tls: {
    /** Null: `state_dir/ca/ca.pem` and `ca.key`. Both or neither. */
    readonly caCertPath: string | null;
    readonly caKeyPath: string | null;
    readonly caCommonName: string;
    readonly caOrganization: string;
    readonly caRotateAfterMs: number;
    readonly leafCacheCapacity: number;
    readonly profile: TlsProfile;
    readonly upstreamSniMode: "required" | "auto" | "disabled";
    readonly downstreamCertProfile: "modern" | "compat";
    /** `system`, `bundled` or a path to a PEM bundle. */
    readonly upstreamTrust: string;
    readonly upstreamCaBundle: string | null;
    /** Paths of PEM files; both or neither. */
    readonly upstreamClientCert: string | null;
    readonly upstreamClientKey: string | null;
    readonly learnedBypass: LearnedBypassMode;
    readonly learnedBypassFailures: number;
    readonly learnedBypassWindowMs: number;
    readonly learnedBypassTtlMs: number;
  };
  readonly capture: {
    readonly observe: boolean;
    readonly bodyBytes: number;
    readonly payloadBytes: number;
    readonly redactHeaders: readonly string[];
  };
  readonly limits: {
    readonly maxFlows: number;
    readonly maxInFlightBytes: number;
    readonly flowBufferBytes: number;
    readonly decoderBufferBytes: number;
    readonly inflateRatio: number;
    readonly inflateBytes: number;
  };
  readonly timeouts: {
    readonly headMs: number;
    readonly connectMs: number;
    readonly tlsHandshakeMs: number;
    readonly idleMs: number;
    readonly exchangeIdleMs: number;
    readonly tunnelIdleMs: number;
    readonly wsTurnIdleMs: number;
    readonly drainMs: number;
  };
  readonly events: {
    readonly sinks: readonly string[];
    readonly rotateBytes: number;
    readonly sync: "flush" | "fsync";
    readonly onSinkFailure: "stop" | "continue";
  };
}
