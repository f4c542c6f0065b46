/** Sessions of a proxy for playbooks, with the default settings unless told otherwise. */
import { openSha256 } from "../../src/runtime/digest.ts";
import { INFLATERS } from "../../src/runtime/inflate.ts";
import { createHash } from "node:crypto";
import type { FlowContext } from "../../src/core/event.ts";
import type { Effects } from "../../src/core/session.ts";
import { ProxySession } from "../../src/proxy/session.ts";
import { type SessionConfig, sessionConfig } from "../../src/proxy/session_config.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";

const { settings } = settingsFromValues({ values: { state_dir: "/unused" }, cwd: "/", checkGrants: false });

export const HEAD_MS = settings.timeouts.headMs;
export const CONNECT_MS = settings.timeouts.connectMs;
export const TLS_HANDSHAKE_MS = settings.timeouts.tlsHandshakeMs;
export const IDLE_MS = settings.timeouts.idleMs;
export const EXCHANGE_IDLE_MS = settings.timeouts.exchangeIdleMs;
export const TUNNEL_IDLE_MS = settings.timeouts.tunnelIdleMs;

export const ESTABLISHED = "HTTP/1.1 200 Connection Established\r\n\r\n";

export type Overrides = Partial<Omit<SessionConfig, "limits">> & {
  readonly limits?: Partial<SessionConfig["limits"]>;
};

/** Intercepted connections are served in HTTP/1.1 only, unless an override says otherwise. */
const HTTP1_ONLY = { http2Enabled: false };

/** What bodies say is not what playbooks of sessions are about. */
const NO_PAYLOADS = { payloadBytes: 0 };

export function sessionConfigWith({ limits, ...overrides }: Overrides = {}): SessionConfig {
  const hash = (name: string) => (text: string) => createHash(name).update(text).digest("hex");
  const defaults = sessionConfig(settings, {
    md5: hash("md5"),
    sha1: hash("sha1"),
    sha256: hash("sha256"),
    inflaters: INFLATERS,
    openSha256,
  });
  return {
    ...defaults,
    ...HTTP1_ONLY,
    observe: { ...defaults.observe, limits: { ...defaults.observe.limits, ...NO_PAYLOADS } },
    ...overrides,
    limits: { ...defaults.limits, ...limits },
  };
}

export function newFlowContext(): FlowContext {
  return { flowId: "1-1", clientAddr: "127.0.0.1:5000", serverHost: null, serverPort: 0, sequence: 0 };
}

export function session(
  overrides: Overrides = {},
  options: { readonly refuse?: "too_many_flows" } = {},
): (effects: Effects) => ProxySession {
  const config = sessionConfigWith(overrides);
  return (effects) => new ProxySession(newFlowContext(), effects, config, options);
}
