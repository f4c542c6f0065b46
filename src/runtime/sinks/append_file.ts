/**
 * Files that are only ever written at their end, and cut there when a line is torn.
 *
 * On Unix the system appends (O_APPEND), so that a log somebody empties under us goes on at its new end.
 * A Windows handle that appends may not cut, so there an ordinary one is kept at the end instead.
 */
const SYSTEM_APPENDS = Deno.build.os !== "windows";

/** Readable too. A file that is made is for the user alone. `createNew`: it must not be there yet. */
export async function openForAppend(
  path: string,
  { createNew = false }: { createNew?: boolean } = {},
): Promise<Deno.FsFile> {
  const file = await Deno.open(path, {
    read: true,
    write: true,
    append: SYSTEM_APPENDS,
    create: true,
    createNew,
    mode: 0o600,
  });
  await seekToEnd(file);
  return file;
}

/** After reading from the file or cutting it: the next write goes to its end, whoever appends. */
export async function seekToEnd(file: Deno.FsFile): Promise<void> {
  if (!SYSTEM_APPENDS) await file.seek(0, Deno.SeekMode.End);
}

export async function cutAt(file: Deno.FsFile, length: number): Promise<void> {
  await file.truncate(length);
  await seekToEnd(file);
}
