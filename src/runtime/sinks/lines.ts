/** Reading a log by whole lines, forward in bounded memory, and its end without the rest. */

/** No event is near this long; a longer line is no log's. */
export const MAX_LINE_BYTES = 64 << 20;

/** What reading needs of a file. */
export interface SeekableReader {
  read(buffer: Uint8Array): Promise<number | null>;
  seek(offset: number, whence: Deno.SeekMode): Promise<number>;
}

export interface RawLine {
  /** Without the line end. Valid until the next line is asked for. */
  readonly bytes: Uint8Array;
  readonly byteOffset: number;
  /** `file`: the last line of a file, when no line end follows it. `limit`: the line is too long to be one. */
  readonly end: "newline" | "file" | "limit";
}

/** The lines from an offset on. A line over `MAX_LINE_BYTES` is given in part and ends the reading. */
export async function* readLines(file: SeekableReader, fromOffset = 0): AsyncGenerator<RawLine> {
  // Standard input cannot seek.
  if (fromOffset > 0) await file.seek(fromOffset, Deno.SeekMode.Start);
  let buffer = new Uint8Array(256 << 10);
  let length = 0;
  let offset = fromOffset;
  for (;;) {
    const count = await file.read(buffer.subarray(length));
    if (count === null) break;
    // Only the new bytes can hold a line end: a long line is not searched twice.
    let searchFrom = length;
    length += count;
    let start = 0;
    for (;;) {
      const end = buffer.subarray(0, length).indexOf(10, searchFrom);
      if (end < 0) break;
      yield { bytes: buffer.subarray(start, end), byteOffset: offset + start, end: "newline" };
      start = end + 1;
      searchFrom = start;
    }
    buffer.copyWithin(0, start, length);
    length -= start;
    offset += start;
    if (length < buffer.length) continue;
    if (length >= MAX_LINE_BYTES) {
      yield { bytes: buffer.subarray(0, length), byteOffset: offset, end: "limit" };
      return;
    }
    const larger = new Uint8Array(buffer.length * 2);
    larger.set(buffer);
    buffer = larger;
  }
  if (length > 0) yield { bytes: buffer.subarray(0, length), byteOffset: offset, end: "file" };
}

export interface FileTail {
  /** The last whole line without its end; null: there is none. */
  readonly lastLine: string | null;
  /** Where the whole lines end. */
  readonly wholeBytes: number;
  /** What follows them: the beginning of a line that was never finished. */
  readonly torn: Uint8Array;
}

/** Reads backwards until a whole line is found. Null: no line end within `MAX_LINE_BYTES`. */
export async function readTail(file: SeekableReader, size: number): Promise<FileTail | null> {
  for (let span = 64 << 10;; span *= 4) {
    const start = Math.max(0, size - span);
    const bytes = await readRange(file, start, size - start);
    const end = bytes.lastIndexOf(10);
    const before = end > 0 ? bytes.lastIndexOf(10, end - 1) : -1;
    if (start === 0 || before >= 0) {
      return {
        lastLine: end < 0 ? null : new TextDecoder().decode(bytes.subarray(before + 1, end)),
        wholeBytes: start + end + 1,
        torn: bytes.subarray(end + 1),
      };
    }
    if (span >= 2 * MAX_LINE_BYTES) return null;
  }
}

/** The bytes of a range, fewer where the file ends before it. */
export async function readRange(file: SeekableReader, start: number, length: number): Promise<Uint8Array> {
  await file.seek(start, Deno.SeekMode.Start);
  const bytes = new Uint8Array(length);
  let filled = 0;
  while (filled < length) {
    const count = await file.read(bytes.subarray(filled));
    if (count === null) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}
