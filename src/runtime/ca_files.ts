/**
 * The certificate authority in `state_dir/ca`: made once, however many processes start at the same time
 * and wherever they are killed.
 *
 * `ca.key` holds the key and, below it, the certificate it was made with; renaming that file into place
 * is the one instant at which the CA comes to be or changes. `ca.pem` is the copy for everybody else:
 * whoever finds it missing, or left from before a rotation, writes it again from `ca.key`. All changes
 * happen under a lock that the kernel drops when its holder dies, so a temporary file found under the
 * lock belongs to nobody.
 */
import { dirname, join } from "node:path";
import { buildAuthority, serialNumber } from "../tls/certificate.ts";
import { decodePem, encodePem } from "../tls/pem.ts";
import { removeTemporaries, replaceFile, takeLock } from "./atomic_file.ts";
import { type KeyKind, makeKeyPair, random, sha1, sha256Hex, signerFor } from "./ca_keys.ts";
import { type CaMaterial, readCaMaterial, unusable } from "./ca_material.ts";
import { StartError } from "./start_error.ts";

export interface CaFiles {
  readonly directory: string;
  readonly certPath: string;
  readonly keyPath: string;
}

/** How a CA is made where there is none. */
export interface CaRecipe {
  readonly commonName: string;
  readonly organization: string;
  readonly keyKind: KeyKind;
}

export interface ManagedCa {
  readonly material: CaMaterial;
  /** Sentences for the user about what was done to the files. */
  readonly notice: readonly string[];
}

export function managedFiles(stateDir: string): CaFiles {
  const directory = join(stateDir, "ca");
  return { directory, certPath: join(directory, "ca.pem"), keyPath: join(directory, "ca.key") };
}

/** The CA of a state directory, made now if there is none. Throws StartError. */
export async function openManagedCa(files: CaFiles, recipe: CaRecipe, nowMs: number): Promise<ManagedCa> {
  // Most starts find both files whole and need no lock, so a read-only state directory will do.
  const found = await readWhole(files);
  if (found !== null) return { material: found, notice: [] };
  return await underLock(files, async () => {
    const state = await readFiles(files, { anyMode: false });
    if (state === null) {
      const material = await makeCa(files, recipe, nowMs);
      return {
        material,
        notice: [
          `Made a certificate authority in ${files.directory}; clients have to trust ${files.certPath}`,
        ],
      };
    }
    if (state.certIsCurrent) return { material: state.material, notice: [] };
    await replaceCaFile(files.certPath, state.material.certPem, 0o644);
    return { material: state.material, notice: [`Wrote ${files.certPath} again from ${files.keyPath}`] };
  });
}

/**
 * Replaces the CA by a new one. With `expected`, only if the CA on disk still has that fingerprint: of
 * several processes that find their CA too old at once, one makes the new CA and the others take it over.
 *
 * The old certificate stays beside the new one as `ca-FINGERPRINT.pem`, because taking it out of a trust
 * store needs it; the old key is gone, because all it could still do is impersonate.
 */
export async function rotateManagedCa(
  files: CaFiles,
  recipe: CaRecipe,
  nowMs: number,
  expected: string | null,
): Promise<ManagedCa & { readonly rotated: boolean; readonly previousCertPath: string | null }> {
  return await underLock(files, async () => {
    // A key that others could read is a reason to rotate, not an obstacle to it.
    const state = await readFiles(files, { anyMode: true });
    if (state === null) {
      const material = await makeCa(files, recipe, nowMs);
      return { material, notice: [], rotated: true, previousCertPath: null };
    }
    if (expected !== null && state.material.fingerprint !== expected) {
      if (!state.certIsCurrent) await replaceCaFile(files.certPath, state.material.certPem, 0o644);
      return { material: state.material, notice: [], rotated: false, previousCertPath: null };
    }
    const previousCertPath = setAsidePath(files, state.material.certPem);
    await replaceCaFile(previousCertPath, state.material.certPem, 0o644);
    const material = await makeCa(files, recipe, nowMs);
    return { material, notice: [], rotated: true, previousCertPath };
  });
}

/** The CA on disk if both files are whole and belong together, else null; changes nothing and never throws. */
export async function readWhole(files: CaFiles): Promise<CaMaterial | null> {
  try {
    const state = await readFiles(files, { anyMode: false });
    return state?.certIsCurrent ? state.material : null;
  } catch (error) {
    if (error instanceof StartError) return null;
    throw error;
  }
}

/** Reads a PEM file of the CA. Throws StartError. */
export async function readCaFile(path: string, options: { secret: boolean }): Promise<string> {
  try {
    using file = await Deno.open(path, { read: true });
    // The mode of the file that was opened, not of whatever has that name a moment later.
    if (options.secret) refuseSharedKey(path, await file.stat());
    return await readBounded(file, path);
  } catch (error) {
    throw fileError(path, "read", error);
  }
}

/** PEM files of a CA take a few kilobytes; what is bigger is the wrong file. */
const MAX_FILE_BYTES = 1024 * 1024;

interface FoundFiles {
  readonly material: CaMaterial;
  /** False if `ca.pem` is missing or is not the certificate of the key. */
  readonly certIsCurrent: boolean;
}

/** Null if there is no CA yet. */
async function readFiles(files: CaFiles, options: { anyMode: boolean }): Promise<FoundFiles | null> {
  const { certPath, keyPath } = files;
  const keyText = await readIfThere(keyPath, { secret: !options.anyMode });
  const certText = await readIfThere(certPath, { secret: false });
  if (keyText === null) {
    if (certText === null) return null;
    throw unusable(
      keyPath,
      `it is missing, though its certificate ${certPath} is there`,
      `restore it, or remove ${certPath} to have a new CA made`,
    );
  }
  const embedded = decodePem(keyText)?.find(({ label }) => label === "CERTIFICATE")?.text ?? null;
  if (certText === null && embedded === null) {
    throw unusable(
      certPath,
      `it is missing, though its key ${keyPath} is there`,
      `restore it, or remove ${keyPath} to have a new CA made`,
    );
  }
  const fromKeyFile = (): FoundFiles => ({
    material: readCaMaterial({ certPath: keyPath, certText: embedded ?? "", keyPath, keyText }),
    certIsCurrent: false,
  });
  if (certText === null) return fromKeyFile();
  try {
    // A certificate that was issued anew for the same key is as good as the first.
    return { material: readCaMaterial({ certPath, certText, keyPath, keyText }), certIsCurrent: true };
  } catch (error) {
    // Only what a rotation set aside is known to be ours to overwrite; any other certificate is a user's mistake.
    const setAside = await readIfThere(setAsidePath(files, certText), { secret: false });
    if (embedded === null || setAside === null) throw error;
    return fromKeyFile();
  }
}

/** Where a rotation puts the certificate it replaces. */
function setAsidePath(files: CaFiles, certText: string): string {
  const der = decodePem(certText)?.[0]?.der ?? new Uint8Array();
  return join(files.directory, `ca-${sha256Hex(der).slice(0, 16)}.pem`);
}

async function makeCa(files: CaFiles, recipe: CaRecipe, nowMs: number): Promise<CaMaterial> {
  const pair = await makeKeyPair(recipe.keyKind);
  const signer = signerFor(pair.privateKey);
  if (signer === null) throw new Error("A key that was just made can sign");
  const certDer = buildAuthority({
    commonName: recipe.commonName,
    organization: recipe.organization,
    publicKeyInfo: pair.publicKeyInfo,
    serial: serialNumber(random(16)),
    nowSeconds: Math.floor(nowMs / 1000),
    signer,
    sha1,
  });
  const certPem = encodePem("CERTIFICATE", certDer);
  const keyText = pair.privateKeyPem + certPem;
  const material = readCaMaterial({
    certPath: files.certPath,
    certText: certPem,
    keyPath: files.keyPath,
    keyText,
  });
  await replaceCaFile(files.keyPath, keyText, 0o600);
  await replaceCaFile(files.certPath, certPem, 0o644);
  return material;
}

async function underLock<T>(files: CaFiles, work: () => Promise<T>): Promise<T> {
  try {
    await Deno.mkdir(files.directory, { recursive: true, mode: 0o700 });
  } catch (error) {
    throw fileError(files.directory, "create", error);
  }
  using _lock = await lockOf(join(files.directory, "lock"));
  await removeLeftovers(files);
  return await work();
}

/** RSA keys need a second at worst, so what holds the lock for longer than its patience is stuck. */
async function lockOf(path: string): Promise<Deno.FsFile> {
  try {
    const lock = await takeLock(path);
    if (lock !== null) return lock;
    throw unusable(path, "another process has held this lock for 15 seconds", "stop that process");
  } catch (error) {
    throw fileError(path, "lock", error);
  }
}

const CA_FILE_NAME = /^ca(-[0-9a-f]{16})?\.(pem|key)$/;

/** Temporary files of processes that were killed; call under the lock. */
async function removeLeftovers(files: CaFiles): Promise<void> {
  try {
    await removeTemporaries(files.directory, (name) => CA_FILE_NAME.test(name));
  } catch (error) {
    throw fileError(files.directory, "read", error);
  }
}

async function replaceCaFile(path: string, text: string, mode: number): Promise<void> {
  try {
    await replaceFile(path, text, mode);
  } catch (error) {
    throw fileError(path, "write", error);
  }
}

async function readIfThere(path: string, options: { secret: boolean }): Promise<string | null> {
  try {
    return await readCaFile(path, options);
  } catch (error) {
    if (error instanceof StartError && error.cause instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

async function readBounded(file: Deno.FsFile, path: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  let total = 0;
  const buffer = new Uint8Array(16 * 1024);
  for (;;) {
    const count = await file.read(buffer);
    if (count === null) break;
    total += count;
    if (total > MAX_FILE_BYTES) {
      throw unusable(path, "it is larger than 1 MiB", "name a PEM file");
    }
    chunks.push(buffer.slice(0, count));
  }
  return new TextDecoder().decode(await new Blob(chunks as BlobPart[]).arrayBuffer());
}

function refuseSharedKey(path: string, { mode }: Deno.FileInfo): void {
  // Windows has no mode bits: the profile directory's access list protects the key there.
  if (mode === null || Deno.build.os === "windows" || (mode & 0o077) === 0) return;
  throw unusable(
    path,
    `its mode ${(mode & 0o777).toString(8).padStart(4, "0")} lets others than its owner at the key`,
    `run: chmod 600 '${path}'`,
  );
}

function fileError(path: string, action: "read" | "write" | "create" | "lock", error: unknown): StartError {
  if (error instanceof StartError) return error;
  if (error instanceof Deno.errors.NotCapable) {
    // What is written is written beside its name first, so the grant is for the directory.
    const directory = action === "create" ? path : dirname(path);
    const grants = action === "read"
      ? `--allow-read=${path}`
      : `--allow-read=${directory} --allow-write=${directory}`;
    return unusable(path, `this process has no permission to ${action} it`, `start it with ${grants}`, error);
  }
  if (error instanceof Deno.errors.NotFound) {
    return unusable(path, "there is no such file", "name one that exists", error);
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return unusable(
      path,
      `this user may not ${action} it`,
      `give this user the right to ${action} it`,
      error,
    );
  }
  const found = error instanceof Error ? error.message : String(error);
  return unusable(path, `cannot ${action} it: ${found}`, "name a path that can be used", error);
}
