/**
 * Giving up permissions that are no longer needed.
 *
 * What Deno's model allows (measured on 2.9.6): a grant that covers everything (`--allow-read`) can only be
 * given up as a whole; a grant that lists paths can be given up path by path, and giving up a path takes the
 * wider grant that holds it along. What was given up never comes back: the program runs with `--no-prompt`.
 * Open files and sockets stay usable, so a proxy whose log is open needs neither reads nor writes, unless it
 * is to open something later: the next segment of a log, a new CA, the socket file it removes at its end.
 */
import { dirname } from "node:path";
import type { Settings } from "../core/settings.ts";
import { parseListenAddress } from "./config/address.ts";

export const REVOCABLE = ["run", "ffi", "env", "sys", "write", "read", "net"] as const;
export type Revocable = typeof REVOCABLE[number];

/** What is still needed; everything else is given up. */
export interface KeptPermissions {
  readonly run: boolean;
  readonly env: boolean;
  readonly sys: boolean;
  readonly net: boolean;
  /** Paths that will be opened later; an empty list gives up every read. */
  readonly read: readonly string[];
  readonly write: readonly string[];
  /** Paths that were read at start and are done with, for grants that list them one by one. */
  readonly done: readonly string[];
}

export interface PermissionReport {
  /** Granted before, not granted now. */
  readonly revoked: readonly string[];
  /** Still granted. `read *` is the grant of everything, which cannot be narrowed. */
  readonly kept: readonly string[];
}

export const NOTHING: KeptPermissions = {
  run: false,
  env: false,
  sys: false,
  net: false,
  read: [],
  write: [],
  done: [],
};

export function dropPermissions(keep: KeptPermissions): PermissionReport {
  const revoked: string[] = [];
  const kept: string[] = [];
  for (const name of REVOCABLE) {
    if (name === "read" || name === "write") narrowPaths(name, keep[name], keep.done, revoked, kept);
    else if (name !== "ffi" && keep[name]) kept.push(name);
    else {
      // A partial grant does not show in the answer to a query of the whole, so it is revoked unseen.
      Deno.permissions.revokeSync({ name });
      revoked.push(name);
    }
  }
  return { revoked, kept };
}

/** What a running proxy with these settings still needs. */
export function neededWhileRunning(settings: Settings, configPath: string | null): KeptPermissions {
  const { tls, events, listen, overrides } = settings;
  const paths: string[] = [];
  if (events.rotateBytes > 0) {
    // Segments and their index are made beside the log.
    for (const sink of events.sinks) {
      if (sink !== "-" && !sink.startsWith("unix:")) paths.push(dirname(sink));
    }
  }
  const rotates = tls.caRotateAfterMs > 0 && tls.caCertPath === null;
  if (rotates || tls.learnedBypass === "on") paths.push(settings.stateDir);
  let everyInterface = false;
  for (const text of listen) {
    const address = parseListenAddress(text);
    if (address.type === "unix") paths.push(address.path);
    if (address.type === "tcp") everyInterface ||= address.host === "0.0.0.0" || address.host === "::";
  }
  const named = tls.upstreamTrust === "system" || tls.upstreamTrust === "bundled";
  const trustPath = named ? null : tls.upstreamTrust;
  const clientFiles = [{ clientCert: tls.upstreamClientCert, clientKey: tls.upstreamClientKey }, ...overrides]
    .flatMap(({ clientCert = null, clientKey = null }) => [clientCert, clientKey]);
  return {
    ...NOTHING,
    net: true,
    // To know a target that is this proxy under another of the machine's addresses.
    sys: everyInterface,
    read: paths,
    write: paths,
    done: [configPath, tls.caCertPath, tls.caKeyPath, tls.upstreamCaBundle, trustPath, ...clientFiles]
      .filter((path) => path !== null),
  };
}

function narrowPaths(
  name: "read" | "write",
  keep: readonly string[],
  done: readonly string[],
  revoked: string[],
  kept: string[],
): void {
  const granted = (path?: string) =>
    Deno.permissions.querySync(path === undefined ? { name } : { name, path }).state === "granted";
  if (keep.length === 0) {
    Deno.permissions.revokeSync({ name });
    revoked.push(name);
    return;
  }
  if (granted()) {
    kept.push(`${name} *`);
    return;
  }
  for (const path of done) {
    // Only a grant of exactly this path: a wider one may hold what is kept.
    if (!granted(path) || granted(dirname(path)) || keep.includes(path)) continue;
    Deno.permissions.revokeSync({ name, path });
    revoked.push(`${name} ${path}`);
  }
  for (const path of keep) if (granted(path)) kept.push(`${name} ${path}`);
}
