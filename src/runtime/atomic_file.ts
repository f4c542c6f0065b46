/**
 * Files of a state directory that several processes share and that a crash must not tear: replaced whole, under
 * a lock that the kernel drops when its holder dies. What goes wrong is thrown as the platform says it.
 */
import { dirname, join } from "node:path";

/** Readers see the old content or the new one, whole; a crash leaves one of the two. */
export async function replaceFile(path: string, text: string, mode: number): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await writeWhole(temporary, text, mode);
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
  await syncDirectory(dirname(path));
}

async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  // The mode is the file's from its first instant; Windows has access lists inherited from the directory.
  using file = await Deno.open(path, { write: true, createNew: true, mode });
  const bytes = new TextEncoder().encode(text);
  for (let written = 0; written < bytes.length;) written += await file.write(bytes.subarray(written));
  await file.sync();
}

/**
 * Removes what `replaceFile` left of these files where its process was killed. Call under the lock: then they
 * belong to nobody.
 */
export async function removeTemporaries(directory: string, isOurs: (name: string) => boolean): Promise<void> {
  for await (const entry of Deno.readDir(directory)) {
    const name = TEMPORARY_NAME.exec(entry.name)?.[1];
    if (entry.isFile && name !== undefined && isOurs(name)) await Deno.remove(join(directory, entry.name));
  }
}

const TEMPORARY_NAME = /^(.+)\.[0-9a-f-]{36}\.tmp$/;

/** Makes a rename last through a power failure, where the platform lets a directory be opened. */
async function syncDirectory(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  try {
    using directory = await Deno.open(path, { read: true });
    await directory.sync();
  } catch {
    // Some file systems refuse; the rename itself is done.
  }
}

const LOCK_PATIENCE_MS = 15_000;
const LOCK_RETRY_MS = 20;

/** The lock, until its file is closed; null where another process did not let go of it in 15 seconds. */
export async function takeLock(path: string): Promise<Deno.FsFile | null> {
  const lock = await Deno.open(path, { write: true, create: true, mode: 0o600 });
  try {
    for (let waitedMs = 0; !await lock.tryLock(true); waitedMs += LOCK_RETRY_MS) {
      if (waitedMs >= LOCK_PATIENCE_MS) {
        lock.close();
        return null;
      }
      await new Promise((resolve) => setTimeout(resolve, LOCK_RETRY_MS));
    }
    return lock;
  } catch (error) {
    lock.close();
    throw error;
  }
}
