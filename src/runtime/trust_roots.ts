/**
 * Where the roots for verifying servers come from: the system, Mozilla's list inside the runtime, a PEM
 * bundle. Read once, at start.
 */
import { Buffer } from "node:buffer";
import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import type { Settings } from "../core/settings.ts";
import { StartError } from "./start_error.ts";

export interface TrustRoot {
  readonly pem: string;
  /** The name that certificates issued by this root carry as their issuer. */
  readonly subject: string;
}

export interface TrustRoots {
  /** Without doubles, in the order of their sources. */
  readonly roots: readonly TrustRoot[];
  /** What the user should know, e.g. that the system's roots could not be had. */
  readonly notices: readonly string[];
}

type TrustSettings = Pick<Settings["tls"], "upstreamTrust" | "upstreamCaBundle">;

export async function loadTrustRoots(settings: TrustSettings): Promise<TrustRoots> {
  const notices: string[] = [];
  const roots = new Map<string, TrustRoot>();
  const add = (list: readonly TrustRoot[]) => {
    for (const root of list) roots.set(root.pem, root);
  };
  switch (settings.upstreamTrust) {
    case "system":
      add(await systemRoots(notices));
      break;
    case "bundled":
      add(usableRoots(tls.rootCertificates));
      break;
    default:
      add(await bundleRoots(settings.upstreamTrust, "tls.upstream_trust", ', or "system", or "bundled"'));
  }
  if (settings.upstreamCaBundle !== null) {
    add(await bundleRoots(settings.upstreamCaBundle, "tls.upstream_ca_bundle", ""));
  }
  return { roots: [...roots.values()], notices };
}

/** Programs of the OpenSSL family take this file for the system's roots; so do we. */
const BUNDLE_VARIABLES = ["SSL_CERT_FILE", "NIX_SSL_CERT_FILE"];

/** Those must be granted to read, or `system` is not to be had. */
const BUNDLE_PATHS = [
  "/etc/ssl/certs/ca-certificates.crt", // Debian, Ubuntu, Arch, Gentoo, Alpine
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", // Fedora, RHEL
  "/etc/pki/tls/certs/ca-bundle.crt", // older Fedora, RHEL
  "/etc/ssl/ca-bundle.pem", // openSUSE
  "/var/lib/ca-certificates/ca-bundle.pem", // openSUSE
  "/etc/ssl/cert.pem", // Alpine, FreeBSD, OpenBSD, macOS without its keychain
  "/usr/local/etc/ssl/cert.pem", // FreeBSD
  "/usr/local/share/certs/ca-root-nss.crt", // FreeBSD
];

/**
 * macOS and Windows keep their roots in a store that only the runtime reaches, which wants the `sys` grant;
 * elsewhere they are a file.
 */
async function systemRoots(notices: string[]): Promise<readonly TrustRoot[]> {
  for (const variable of BUNDLE_VARIABLES) {
    if (Deno.permissions.querySync({ name: "env", variable }).state !== "granted") continue;
    const path = Deno.env.get(variable);
    if (path === undefined || path === "") continue;
    const roots = await rootsAt(path);
    if (roots.length > 0) return roots;
    notices.push(
      `${variable} names ${path}, which holds no readable certificates; the system's own roots are used`,
    );
  }
  const hasStore = Deno.build.os === "darwin" || Deno.build.os === "windows";
  const fromStore = hasStore ? storeRoots() : [];
  if (fromStore.length > 0) return fromStore;
  for (const path of Deno.build.os === "windows" ? [] : BUNDLE_PATHS) {
    const roots = await rootsAt(path);
    if (roots.length === 0) continue;
    if (hasStore) {
      notices.push(
        `the system's certificate store could not be read (grant sys), so ${path} stands in for it`,
      );
    }
    return roots;
  }
  const elsewhere = hasStore ? [] : storeRoots();
  if (elsewhere.length > 0) return elsewhere;
  notices.push(
    "the system's certificate authorities could not be read, so Mozilla's list inside this program is used; " +
      'set tls.upstream_trust to a PEM bundle, or to "bundled" to silence this',
  );
  return usableRoots(tls.rootCertificates);
}

function storeRoots(): TrustRoot[] {
  if (Deno.permissions.querySync({ name: "sys" }).state !== "granted") return [];
  try {
    return usableRoots(tls.getCACertificates("system"));
  } catch {
    return [];
  }
}

/** Empty when there is nothing to be had there. */
async function rootsAt(path: string): Promise<TrustRoot[]> {
  if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") return [];
  try {
    return usableRoots(certificatesIn(await Deno.readTextFile(path)));
  } catch {
    return [];
  }
}

/** A bundle that the configuration names: every certificate in it counts, so each must be good. */
async function bundleRoots(path: string, key: string, alternatives: string): Promise<TrustRoot[]> {
  const mend = `give the path of a PEM file with certificates${alternatives}`;
  const text = await readBundle(path, key, mend);
  const pems = certificatesIn(text);
  if (pems.length === 0) {
    throw new StartError("config_invalid", `${key}: ${path} holds no PEM certificates; ${mend}`);
  }
  return pems.map((pem, index) => {
    const root = trustRoot(pem);
    if (root !== null) return root;
    throw new StartError(
      "config_invalid",
      `${key}: certificate ${index + 1} of ${pems.length} in ${path} cannot be read; remove or replace it`,
    );
  });
}

async function readBundle(path: string, key: string, mend: string): Promise<string> {
  if (Deno.permissions.querySync({ name: "read", path }).state !== "granted") {
    throw new StartError(
      "config_invalid",
      `${key}: reading ${path} is not granted to this program; start it with --allow-read=${path}`,
    );
  }
  try {
    return await Deno.readTextFile(path);
  } catch (cause) {
    const why = cause instanceof Deno.errors.NotFound
      ? "does not exist"
      : `cannot be read (${String(cause)})`;
    throw new StartError("config_invalid", `${key}: ${path} ${why}; ${mend}`, { cause });
  }
}

/** The system's lists may hold what nobody can read; that is not the user's business. */
function usableRoots(pems: readonly string[]): TrustRoot[] {
  return pems.map(trustRoot).filter((root) => root !== null);
}

function trustRoot(pem: string): TrustRoot | null {
  try {
    const certificate = new X509Certificate(pem);
    return { pem: pemOf(certificate.raw), subject: certificate.subject };
  } catch {
    return null;
  }
}

/** Whatever stands between the certificates (comments, other objects) is passed over. */
function certificatesIn(text: string): string[] {
  const pems: string[] = [];
  const begin = "-----BEGIN CERTIFICATE-----";
  const end = "-----END CERTIFICATE-----";
  for (let start = text.indexOf(begin); start !== -1;) {
    const stop = text.indexOf(end, start);
    if (stop === -1) {
      pems.push(text.slice(start));
      break;
    }
    pems.push(text.slice(start, stop + end.length));
    start = text.indexOf(begin, stop);
  }
  return pems;
}

/** One spelling for each certificate, so that doubles are seen as such. */
function pemOf(der: Uint8Array): string {
  const lines = Buffer.from(der).toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`;
}
