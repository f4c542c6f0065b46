/**
 * Which grants a proxy with these settings still lacks. Asked before anything is opened, so that the
 * answer names the key and the flag instead of failing half-way.
 */
import { dirname } from "node:path";
import type { Settings } from "../../core/settings.ts";
import { parseListenAddress } from "./address.ts";
import type { SettingKey } from "./schema.ts";

export interface MissingGrant {
  readonly key: SettingKey;
  readonly detail: string;
}

interface Need {
  readonly key: SettingKey;
  readonly path: string;
  readonly write: boolean;
}

export function missingGrants(settings: Settings): MissingGrant[] {
  const missing: MissingGrant[] = [];
  for (const { key, path, write } of pathsOf(settings)) {
    const lacking: string[] = [];
    if (!granted("read", path)) lacking.push("read");
    if (write && !granted("write", path)) lacking.push("write");
    if (lacking.length === 0) continue;
    const verbs = lacking.map((verb) => verb === "read" ? "reading" : "writing").join(" and ");
    const flags = lacking.map((verb) => `--allow-${verb}=${path}`).join(" ");
    missing.push({ key, detail: `${verbs} ${path} is not granted; run with ${flags}` });
  }
  return missing;
}

/** Everything in the file system that a proxy with these settings touches. */
function pathsOf({ listen, stateDir, tls, events, overrides }: Settings): Need[] {
  const needs: Need[] = [];
  const need = (key: SettingKey, path: string | null, write: boolean) => {
    if (path !== null) needs.push({ key, path, write });
  };
  need("tls.ca_cert_path", tls.caCertPath, false);
  need("tls.ca_key_path", tls.caKeyPath, false);
  if (tls.caCertPath === null || tls.learnedBypass === "on") need("state_dir", stateDir, true);
  if (tls.upstreamTrust !== "system" && tls.upstreamTrust !== "bundled") {
    need("tls.upstream_trust", tls.upstreamTrust, false);
  }
  need("tls.upstream_ca_bundle", tls.upstreamCaBundle, false);
  need("tls.upstream_client_cert", tls.upstreamClientCert, false);
  need("tls.upstream_client_key", tls.upstreamClientKey, false);
  for (const { clientCert = null, clientKey = null } of overrides) {
    need("overrides", clientCert, false);
    need("overrides", clientKey, false);
  }
  for (const sink of events.sinks) {
    if (sink === "-") continue;
    // Segments and the index of a rotated log lie beside it.
    const path = sink.startsWith("unix:") ? sink.slice("unix:".length) : sink;
    need("events.sinks", events.rotateBytes > 0 && path === sink ? dirname(path) : path, true);
  }
  for (const text of listen) {
    const address = parseListenAddress(text);
    if (address.type === "unix") need("listen", address.path, true);
  }
  return needs;
}

function granted(name: "read" | "write", path: string): boolean {
  return Deno.permissions.querySync({ name, path }).state === "granted";
}
