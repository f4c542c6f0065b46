/**
 * The trust anchors for verifying servers.
 *
 * The runtime parses every root of a `SecureContext` anew at each handshake: with a system's 150 roots that
 * is 11 ms of a blocked process, with one root 1 ms. So once a host's certificate was verified against all
 * roots, its next handshakes get a context with just the roots that can have anchored it. That is a subset
 * of what is trusted: it can refuse what the whole set accepts (a server that changed its issuer, after
 * which the caller tries again with the whole set), never the other way round.
 *
 * A context without any `ca` trusts the process's default roots. Of themselves these are the environment's
 * (NODE_EXTRA_CA_CERTS, DENO_CERT, DENO_TLS_CA_STORE); here only the settings decide whom to trust. But where the
 * process is the proxy's alone it sets them (`default_roots.ts`), and then sessions can be resumed.
 */
import { X509Certificate } from "node:crypto";
import tls from "node:tls";
import type { Settings, TlsProfile } from "../core/settings.ts";
import type { ClientIdentity } from "./client_identities.ts";
import { DefaultRoots } from "./default_roots.ts";
import { loadTrustRoots, type TrustRoot } from "./trust_roots.ts";

type TrustSettings = Pick<Settings["tls"], "upstreamTrust" | "upstreamCaBundle" | "profile">;

export interface ServerContext {
  readonly context: tls.SecureContext;
  /** Only some of the trusted roots are in it: a refusal is not the last word, see `forget`. */
  readonly narrow: boolean;
  /** A session that began with such a context can be resumed with one. */
  readonly resumable: boolean;
}

export interface TrustOptions {
  /** Nothing else in this process relies on its default roots. */
  readonly ownsProcess?: boolean;
}

interface HostAnchors {
  readonly roots: ReadonlySet<number>;
  /** False: the whole set is needed, because what was found did not do. */
  readonly narrow: boolean;
  /** Nothing more is to be learned until a failure. */
  readonly settled: boolean;
}

/** Hosts (and issuers, and contexts) remembered. */
const REMEMBERED_MAX = 1024;
/** So few roots cost nothing worth saving; and a server whose chain names more is not worth remembering. */
const FEW_ROOTS = 4;
/** No path is longer in practice; the bound is against chains that a server makes up. */
const CHAIN_LENGTH_MAX = 16;

export class ServerTrust {
  readonly #roots: readonly TrustRoot[];
  readonly #bySubject = new Map<string, number[]>();
  /** By version and client certificate. */
  readonly #full = new Map<string, ServerContext>();
  /** Null where the process's default roots are not ours to set. */
  readonly #defaults: DefaultRoots | null;
  /** With the default roots, by version and client certificate. */
  readonly #default = new Map<string, tls.SecureContext>();
  /** By the numbers of their roots: most hosts share a few of them. */
  readonly #narrow = new Map<string, ServerContext>();
  readonly #hosts = new Map<string, HostAnchors>();
  /** By the issuer of the leaf. To look at a whole chain costs 8 ms; most hosts share some intermediate issuer. */
  readonly #byIssuer = new Map<string, ReadonlySet<number>>();

  private constructor(
    roots: readonly TrustRoot[],
    private readonly profile: TlsProfile,
    /** What the user should know about the roots. */
    readonly notices: readonly string[],
    ownsProcess: boolean,
  ) {
    this.#roots = roots;
    this.#defaults = ownsProcess ? new DefaultRoots(roots) : null;
    for (const [number, { subject }] of roots.entries()) {
      const numbers = this.#bySubject.get(subject);
      if (numbers === undefined) this.#bySubject.set(subject, [number]);
      else numbers.push(number);
    }
  }

  /** A `StartError` (`config_invalid`) names the file that cannot be used and the mend. */
  static async load(settings: TrustSettings, options: TrustOptions = {}): Promise<ServerTrust> {
    const { roots, notices } = await loadTrustRoots(settings);
    return new ServerTrust(roots, settings.profile, notices, options.ownsProcess ?? false);
  }

  /** `identity`: what is shown to servers that ask for a certificate. */
  contextFor(host: string, profile = this.profile, identity: ClientIdentity | null = null): ServerContext {
    const known = this.#hosts.get(host);
    if (known === undefined) return this.wholeContext(profile, identity);
    this.#hosts.delete(host);
    this.#hosts.set(host, known);
    const narrow = known.narrow ? this.#narrowContext(known.roots, versionsOf(profile), identity) : null;
    return narrow ?? this.wholeContext(profile, identity);
  }

  /** With all the roots there are. */
  wholeContext(profile = this.profile, identity: ClientIdentity | null = null): ServerContext {
    const versions = versionsOf(profile);
    const key = contextKey(versions, identity);
    let whole = this.#full.get(key);
    if (whole === undefined) {
      const few = this.#roots.length <= FEW_ROOTS;
      whole = (few ? this.#defaultContext([...this.#roots.keys()], false, versions, identity) : null) ??
        { context: contextWith(this.#roots, versions, identity), narrow: false, resumable: false };
      this.#full.set(key, whole);
    }
    return whole;
  }

  /** After a handshake that verified `host` with the whole set: remember the roots that can have anchored it. */
  learned(host: string, socket: tls.TLSSocket): void {
    const known = this.#hosts.get(host);
    if (this.#roots.length <= FEW_ROOTS || known?.settled === true || !socket.authorized) return;
    // Where a memory failed before, only the chain itself will do.
    const anchors = known === undefined ? this.#likelyAnchorsOf(socket) : this.#anchorsOf(socket);
    const roots = new Set([...known?.roots ?? [], ...anchors]);
    this.#hosts.set(host, { roots, narrow: true, settled: true });
    trim(this.#hosts);
  }

  /**
   * After a narrow context failed: the next `contextFor` gives the whole set, with which the caller dials
   * once more. What is learned then comes on top, so a host with several certificates settles.
   */
  forget(host: string): void {
    const known = this.#hosts.get(host);
    if (known !== undefined) this.#hosts.set(host, { roots: known.roots, narrow: false, settled: false });
  }

  /** The trusted roots with this subject, in the form of `X509Certificate.subject`. */
  rootsNamed(subject: string): X509Certificate[] {
    return (this.#bySubject.get(subject) ?? []).map((number) =>
      new X509Certificate(this.#roots[number]!.pem)
    );
  }

  /** All roots as PEM, for programs that are to trust the same servers. */
  readRoots(): string {
    return this.#roots.map(({ pem }) => pem).join("");
  }

  #likelyAnchorsOf(socket: tls.TLSSocket): ReadonlySet<number> {
    const { raw } = socket.getPeerCertificate();
    const issuer = new X509Certificate(raw).issuer;
    let anchors = this.#byIssuer.get(issuer);
    if (anchors === undefined) {
      anchors = this.#anchorsOf(socket);
      this.#byIssuer.set(issuer, anchors);
      trim(this.#byIssuer);
    }
    return anchors;
  }

  /** The roots whose name stands as issuer in the chain, or that are in the chain themselves. */
  #anchorsOf(socket: tls.TLSSocket): Set<number> {
    const anchors = new Set<number>();
    let entry: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
    for (let depth = 0; entry?.raw !== undefined && depth < CHAIN_LENGTH_MAX; depth++) {
      const { subject, issuer } = new X509Certificate(entry.raw);
      for (const name of [subject, issuer]) {
        for (const number of this.#bySubject.get(name) ?? []) anchors.add(number);
      }
      if (entry.issuerCertificate === entry) break;
      entry = entry.issuerCertificate;
    }
    return anchors;
  }

  #narrowContext(
    roots: ReadonlySet<number>,
    versions: Versions,
    identity: ClientIdentity | null,
  ): ServerContext | null {
    if (roots.size === 0 || roots.size > FEW_ROOTS) return null;
    const numbers = [...roots].sort((a, b) => a - b);
    const shared = this.#defaultContext(numbers, true, versions, identity);
    if (shared !== null) return shared;
    const key = `${numbers.join(" ")} ${contextKey(versions, identity)}`;
    let known = this.#narrow.get(key);
    if (known === undefined) {
      const few = numbers.map((number) => this.#roots[number]!);
      known = { context: contextWith(few, versions, identity), narrow: true, resumable: false };
      // Servers choose what their chains name; hosts keep the contexts they have.
      if (this.#narrow.size >= REMEMBERED_MAX) this.#narrow.clear();
      this.#narrow.set(key, known);
    }
    return known;
  }

  /** One that trusts these roots, and others of ours maybe; null where there is none. */
  #defaultContext(
    numbers: readonly number[],
    narrow: boolean,
    versions: Versions,
    identity: ClientIdentity | null,
  ): ServerContext | null {
    if (this.#defaults === null || numbers.length === 0 || !this.#defaults.include(numbers)) return null;
    const key = contextKey(versions, identity);
    let context = this.#default.get(key);
    if (context === undefined) {
      context = contextWith(null, versions, identity);
      this.#default.set(key, context);
    }
    // The runtime resumes no session in which a certificate may have been shown.
    return { context, narrow, resumable: identity === null };
  }
}

/** The oldest version that is spoken. */
type Versions = "TLSv1.2" | "TLSv1.3";

export function versionsOf(profile: TlsProfile): Versions {
  return profile === "strict" ? "TLSv1.3" : "TLSv1.2";
}

function contextKey(versions: Versions, identity: ClientIdentity | null): string {
  return identity === null ? versions : `${versions} as ${identity.id}`;
}

/** `roots`: null for the process's default ones. */
function contextWith(
  roots: readonly TrustRoot[] | null,
  minVersion: Versions,
  identity: ClientIdentity | null,
): tls.SecureContext {
  return tls.createSecureContext({
    minVersion,
    maxVersion: "TLSv1.3",
    ...(roots === null ? {} : { ca: roots.map(({ pem }) => pem) }),
    ...(identity === null ? {} : { cert: identity.certPem, key: identity.keyPem }),
  });
}

/** Drops the entry not used for longest. */
function trim(map: Map<string, unknown>): void {
  if (map.size > REMEMBERED_MAX) map.delete(map.keys().next().value!);
}
