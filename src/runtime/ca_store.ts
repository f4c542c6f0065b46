/**
 * The certificate authority of a running proxy: opened or made at start, mints leaves, is rotated by age.
 *
 * Minting is synchronous on purpose. Connections that want the same new name at the same time find it
 * made by the first of them, without a lock or a queue of promises.
 */
import type { Settings } from "../core/settings.ts";
import {
  BACKDATED_SECONDS,
  buildLeaf,
  keyIdentifier,
  leafValidity,
  MAX_NAME_ATTRIBUTE_LENGTH,
  serialNumber,
} from "../tls/certificate.ts";
import { type NameErrorCode, parseCertificateName } from "../tls/names.ts";
import { encodePem } from "../tls/pem.ts";
import {
  type CaFiles,
  type CaRecipe,
  managedFiles,
  openManagedCa,
  readCaFile,
  readWhole,
  rotateManagedCa,
} from "./ca_files.ts";
import { type KeyPair, makeKeyPair, random, sha1 } from "./ca_keys.ts";
import { type CaMaterial, isoTime, readCaMaterial, requireIssuing } from "./ca_material.ts";
import { LeafCache } from "./leaf_cache.ts";
import { StartError } from "./start_error.ts";

export interface Leaf {
  /** The leaf, and below it the CA's certificate where another CA issued that. */
  readonly certPem: string;
  readonly keyPem: string;
  readonly cache: "hit" | "miss";
  /** The same object for as long as the leaf is cached: what is derived from it can hang on it in a WeakMap. */
  readonly key: object;
}

export interface LeafError {
  readonly error: NameErrorCode | "ca_expired";
  readonly detail: string;
}

export interface LeafCounters {
  readonly hits: number;
  readonly misses: number;
  readonly minted: number;
}

export interface RotationCheck {
  /** `adopted`: another process rotated the CA in the same state directory. */
  readonly outcome: "kept" | "rotated" | "adopted" | "failed";
  /** For the user, unless the CA was kept. */
  readonly notice: string | null;
}

export interface OpenOptions {
  /** Unix time in milliseconds. */
  readonly wallClock?: () => number;
}

/** Where the settings put the CA: a state directory's own, or a pair that belongs to the user. */
export type CaLocation =
  | { readonly kind: "managed"; readonly files: CaFiles }
  | { readonly kind: "configured"; readonly certPath: string; readonly keyPath: string };

/** Throws StartError if only one of the two paths is set. */
export function locateCa(settings: Settings): CaLocation {
  const { caCertPath: certPath, caKeyPath: keyPath } = settings.tls;
  if (certPath === null && keyPath === null) {
    return { kind: "managed", files: managedFiles(settings.stateDir) };
  }
  if (certPath !== null && keyPath !== null) return { kind: "configured", certPath, keyPath };
  const [given, missing] = certPath !== null
    ? [`tls.ca_cert_path = ${JSON.stringify(certPath)}`, "tls.ca_key_path"]
    : [`tls.ca_key_path = ${JSON.stringify(keyPath)}`, "tls.ca_cert_path"];
  throw new StartError(
    "config_invalid",
    `${given} is set without ${missing}; set both, or neither to use the CA in ${settings.stateDir}`,
  );
}

/** How this configuration makes a CA. Throws StartError where X.509 cannot hold the names. */
export function caRecipe(settings: Settings): CaRecipe {
  const { caCommonName: commonName, caOrganization: organization, downstreamCertProfile } = settings.tls;
  for (
    const [key, value] of [["tls.ca_common_name", commonName], ["tls.ca_organization", organization]] as const
  ) {
    // deno-lint-ignore no-control-regex
    if (value !== "" && value.length <= MAX_NAME_ATTRIBUTE_LENGTH && !/[\x00-\x1f\x7f]/.test(value)) continue;
    throw new StartError(
      "config_invalid",
      `${key} = ${JSON.stringify(value)} cannot be the name of a CA; ` +
        `1 to ${MAX_NAME_ATTRIBUTE_LENGTH} characters without control characters are allowed`,
    );
  }
  // Clients that know no elliptic curves cannot verify a P-256 CA's signature either.
  return { commonName, organization, keyKind: downstreamCertProfile === "compat" ? "rsa" : "ec" };
}

const EXPIRY_WARNING_MS = 14 * 86_400_000;

/** Opens the CA that the settings name, or makes the one in the state directory. Throws StartError. */
export async function openCertificateAuthority(
  settings: Settings,
  options: OpenOptions = {},
): Promise<CertificateAuthority> {
  const wallClock = options.wallClock ?? Date.now;
  const location = locateCa(settings);
  const recipe = caRecipe(settings);
  const leafKey = makeKeyPair(recipe.keyKind);
  // An unusable CA is reported below; the key is then not needed.
  leafKey.catch(() => {});
  const notice: string[] = [];
  let material: CaMaterial;
  if (location.kind === "configured") {
    material = await readConfigured(location);
    requireIssuing(material, location.certPath, wallClock(), "name a CA certificate that is in force");
  } else {
    const opened = await openManagedCa(location.files, recipe, wallClock());
    material = opened.material;
    notice.push(...opened.notice);
    if (isTooOld(material, settings.tls.caRotateAfterMs, wallClock())) {
      const rotated = await rotateManagedCa(location.files, recipe, wallClock(), material.fingerprint);
      material = rotated.material;
      notice.push(rotationNotice(location.files, rotated.previousCertPath));
    }
    requireIssuing(material, location.files.certPath, wallClock(), "run: soth-mitm ca rotate");
  }
  if (recipe.keyKind === "rsa" && material.signer.algorithm !== "rsa_sha256") {
    notice.push(
      "tls.downstream_cert_profile is compat, but the CA itself has an elliptic-curve key; " +
        "for clients without elliptic curves make an RSA one: soth-mitm ca rotate",
    );
  }
  const { notAfterSeconds } = material.facts;
  if (notAfterSeconds * 1000 - wallClock() < EXPIRY_WARNING_MS) {
    notice.push(`The CA certificate expires at ${isoTime(notAfterSeconds)}`);
  }
  return new CertificateAuthority(settings, location, material, await leafKey, notice, wallClock);
}

export class CertificateAuthority {
  readonly certPath: string;
  /** What the user should be told about opening the CA. */
  readonly notice: readonly string[];
  readonly #settings: Settings;
  readonly #location: CaLocation;
  readonly #leafKey: KeyPair;
  readonly #leafKeyId: Uint8Array;
  readonly #wallClock: () => number;
  readonly #cache: LeafCache<Leaf>;
  #material: CaMaterial;
  #hits = 0;
  #misses = 0;
  #minted = 0;

  constructor(
    settings: Settings,
    location: CaLocation,
    material: CaMaterial,
    leafKey: KeyPair,
    notice: readonly string[],
    wallClock: () => number,
  ) {
    this.certPath = location.kind === "managed" ? location.files.certPath : location.certPath;
    this.notice = notice;
    this.#settings = settings;
    this.#location = location;
    this.#material = material;
    this.#leafKey = leafKey;
    this.#leafKeyId = keyIdentifier(leafKey.publicKeyInfo, sha1);
    this.#wallClock = wallClock;
    this.#cache = new LeafCache(settings.tls.leafCacheCapacity);
  }

  get certPem(): string {
    return this.#material.certPem;
  }

  /** SHA-256 of the CA certificate, lower-case hex. */
  get fingerprint(): string {
    return this.#material.fingerprint;
  }

  get counters(): LeafCounters {
    return { hits: this.#hits, misses: this.#misses, minted: this.#minted };
  }

  /** The leaf for a host as the client wrote it, from the cache or made now. */
  leaf(host: string): Leaf | LeafError {
    const name = parseCertificateName(host);
    if ("error" in name) return name;
    const nowMs = this.#wallClock();
    const cached = this.#cache.get(name.text, nowMs);
    if (cached !== undefined) {
      this.#hits++;
      return cached;
    }
    this.#misses++;
    const { facts, issuer, signer, certPem } = this.#material;
    const nowSeconds = Math.floor(nowMs / 1000);
    if (nowSeconds > facts.notAfterSeconds) {
      return {
        error: "ca_expired",
        detail: `The CA certificate ${this.certPath} expired at ${isoTime(facts.notAfterSeconds)}`,
      };
    }
    const leafPem = encodePem(
      "CERTIFICATE",
      buildLeaf({
        name,
        publicKeyInfo: this.#leafKey.publicKeyInfo,
        keyKind: this.#leafKey.kind,
        subjectKeyId: this.#leafKeyId,
        serial: serialNumber(random(16)),
        nowSeconds,
        issuer,
        signer,
      }),
    );
    this.#minted++;
    const leaf: Leaf = {
      certPem: facts.selfIssued ? leafPem : leafPem + certPem,
      keyPem: this.#leafKey.privateKeyPem,
      cache: "miss",
      key: {},
    };
    this.#cache.set(name.text, { ...leaf, cache: "hit" }, freshUntilMs(nowMs, issuer));
    return leaf;
  }

  /**
   * To be called every hour: makes a new CA when this one is older than `tls.ca_rotate_after`, and takes
   * over one that another process made in the same state directory. Never throws: a proxy that cannot
   * rotate goes on with the CA it has.
   */
  async maybeRotate(nowMs: number): Promise<RotationCheck> {
    if (this.#location.kind === "configured") return { outcome: "kept", notice: null };
    const { files } = this.#location;
    try {
      const found = await readWhole(files);
      if (found !== null && found.fingerprint !== this.#material.fingerprint) {
        this.#adopt(found);
        return {
          outcome: "adopted",
          notice: `The CA in ${files.directory} was replaced; clients have to trust ${files.certPath} now`,
        };
      }
      if (!isTooOld(this.#material, this.#settings.tls.caRotateAfterMs, nowMs)) {
        return { outcome: "kept", notice: null };
      }
      const recipe = caRecipe(this.#settings);
      const rotated = await rotateManagedCa(files, recipe, nowMs, this.#material.fingerprint);
      this.#adopt(rotated.material);
      return {
        outcome: rotated.rotated ? "rotated" : "adopted",
        notice: rotationNotice(files, rotated.previousCertPath),
      };
    } catch (error) {
      return { outcome: "failed", notice: error instanceof Error ? error.message : String(error) };
    }
  }

  #adopt(material: CaMaterial): void {
    this.#material = material;
    this.#cache.clear();
  }
}

/** The user's own pair. Throws StartError; whether it may issue now is asked separately. */
export async function readConfigured(
  location: { readonly certPath: string; readonly keyPath: string },
): Promise<CaMaterial> {
  const { certPath, keyPath } = location;
  const certText = await readCaFile(certPath, { secret: false });
  const keyText = await readCaFile(keyPath, { secret: true });
  return readCaMaterial({ certPath, certText, keyPath, keyText });
}

/** A leaf is made anew a day before it ends, or at half its life where the CA leaves it less than two days. */
function freshUntilMs(nowMs: number, issuer: CaMaterial["issuer"]): number {
  const endsMs = leafValidity(Math.floor(nowMs / 1000), issuer).notAfterSeconds * 1000;
  return endsMs - Math.min(86_400_000, (endsMs - nowMs) / 2);
}

function isTooOld(material: CaMaterial, rotateAfterMs: number, nowMs: number): boolean {
  if (rotateAfterMs === 0) return false;
  const madeMs = (material.facts.notBeforeSeconds + BACKDATED_SECONDS) * 1000;
  return nowMs - madeMs >= rotateAfterMs;
}

function rotationNotice(files: CaFiles, previousCertPath: string | null): string {
  const kept = previousCertPath === null ? "" : `; the old certificate is ${previousCertPath}`;
  return `Rotated the CA in ${files.directory}: clients have to trust ${files.certPath} now${kept}`;
}
