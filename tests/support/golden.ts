/**
 * Golden cases: bytes and the trace that they must give, side by side in a Markdown file.
 *
 * A case is a heading (the sentence that names it), any prose, a fenced block of bytes, and a fenced
 * block `trace`. The words after the first fence are the kind of input and its options. In a block
 * of bytes the line breaks of the file don't count: what is sent is written out as `\r`, `\n`,
 * `\t`, `\\` and `\xNN`, and `\*NUMBER{…}` repeats. With the option `hex` it is hexadecimal, where
 * `#` begins a comment.
 *
 * Each case is replayed whole, cut into reads of every size, and with bytes after its end: the
 * trace must be the same. `deno test -A tests/http1/golden_test.ts -- --update-golden` writes the
 * traces anew; the difference is then there to be read before it is committed.
 */
import { joinBytes } from "../../src/core/bytes.ts";
import { assertEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";

export interface GoldenInput {
  /** The first word after the fence, e.g. `request`. */
  readonly kind: string;
  /** The other words: `name=value`, or just `name` for `true`. */
  readonly options: ReadonlyMap<string, string>;
}

export interface GoldenRun {
  readonly trace: readonly string[];
  /**
   * How many bytes are left after the end of what the case is about. Null where it has no end yet,
   * so that more bytes would change the trace.
   */
  readonly rest: number | null;
}

/** Reads the input as it is cut and tells what came of it. It must not keep state between calls. */
export type GoldenEngine = (input: GoldenInput, reads: readonly Uint8Array[]) => GoldenRun;

export interface GoldenCase extends GoldenInput {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly trace: readonly string[];
  /** Lines of the file, from 0, that hold the trace: the first, and the one after the last. */
  readonly traceLines: readonly [number, number];
}

const FIXTURES = new URL("../../fixtures/", import.meta.url);
const UPDATE_FLAG = "--update-golden";

/** Makes a test of each case in `fixtures/FOLDER/*.md`. */
export function testGolden(folder: string, engine: GoldenEngine): void {
  const directory = new URL(`${folder}/`, FIXTURES);
  const names = [...Deno.readDirSync(directory)].map((entry) => entry.name).filter((name) =>
    name.endsWith(".md")
  ).sort();
  assert(names.length > 0, `there are no golden cases in fixtures/${folder}`);
  for (const name of names) {
    const url = new URL(name, directory);
    const text = Deno.readTextFileSync(url);
    const cases = parseGolden(text);
    assert(cases.length > 0, `there are no cases in fixtures/${folder}/${name}`);
    if (Deno.args.includes(UPDATE_FLAG)) {
      Deno.writeTextFileSync(url, updateGolden(text, cases, engine));
      continue;
    }
    for (const golden of cases) {
      Deno.test(`${folder}/${name}: ${golden.name}`, () => replayGolden(golden, engine));
    }
  }
}

/** Replays one case in all the ways; throws where a trace differs. */
export function replayGolden(golden: GoldenCase, engine: GoldenEngine): void {
  const whole = engine(golden, [golden.bytes]);
  assertEquals(whole.trace, golden.trace, "whole");
  for (const size of readSizes(golden.bytes.length)) {
    const cut = engine(golden, cutInto(golden.bytes, size));
    assertEquals(cut, whole, `in reads of ${size}`);
  }
  if (whole.rest === null) return;
  for (const after of TRAILING) {
    const trailing = engine(golden, [joinBytes([golden.bytes, after])]);
    assertEquals(trailing.trace, golden.trace, "with bytes after its end");
    assertEquals(trailing.rest, whole.rest + after.length, "the bytes after the end are left alone");
  }
}

const TRAILING = ["\r\n", "GET / HTTP/1.1\r\n", "\0\xff"].map((text) => latin1(text));

/** Every size for what is short enough; a selection for the rest, as the work grows with the square. */
function readSizes(length: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < length; size += size < 600 ? 1 : size) sizes.push(size);
  return sizes;
}

export function cutInto(bytes: Uint8Array, size: number): Uint8Array[] {
  const reads: Uint8Array[] = [];
  for (let from = 0; from < bytes.length; from += size) reads.push(bytes.slice(from, from + size));
  return reads;
}

/** The cases in the text of a Markdown file. Throws where the file breaks the format. */
export function parseGolden(text: string): GoldenCase[] {
  const lines = text.split("\n");
  const cases: GoldenCase[] = [];
  let heading: string | null = null;
  let pending: (GoldenInput & { name: string; bytes: Uint8Array }) | null = null;
  for (let index = 0; index < lines.length; index++) {
    const line = lines[index]!;
    const title = /^#+ +(.*)$/.exec(line)?.[1];
    if (title !== undefined) {
      assert(pending === null, `line ${index + 1}: the case before has no trace`);
      heading = title;
    }
    if (!line.startsWith("```")) continue;
    const [kind, ...words] = line.slice(3).trim().split(/ +/);
    const start = index + 1;
    while (++index < lines.length && lines[index] !== "```");
    assert(index < lines.length, `line ${start}: the fence is not closed`);
    const block = lines.slice(start, index);
    if (kind === "trace") {
      assert(pending !== null, `line ${start}: a trace without bytes before it`);
      cases.push({ ...pending, trace: block, traceLines: [start, index] });
      pending = null;
      heading = null;
    } else {
      assert(heading !== null && pending === null, `line ${start}: bytes need a heading of their own`);
      const options = new Map(words.map((word) => {
        const equals = word.indexOf("=");
        return equals < 0 ? [word, "true"] : [word.slice(0, equals), word.slice(equals + 1)];
      }));
      const bytes = options.has("hex") ? decodeHex(block) : decodeEscapes(block.join(""));
      pending = { kind: kind!, options, name: heading, bytes };
    }
  }
  assert(pending === null, "the last case has no trace");
  return cases;
}

function updateGolden(text: string, cases: readonly GoldenCase[], engine: GoldenEngine): string {
  const lines = text.split("\n");
  for (const golden of cases.toReversed()) {
    const [from, to] = golden.traceLines;
    lines.splice(from, to - from, ...engine(golden, [golden.bytes]).trace);
  }
  return lines.join("\n");
}

/** Text with escapes to octets; every character stands for one octet. */
export function decodeEscapes(text: string): Uint8Array {
  const repeated = text.replace(
    /\\\*([0-9]+)\{([^}]*)\}/g,
    (_, count: string, part: string) => part.repeat(Number(count)),
  );
  const plain = repeated.replace(/\\(x[0-9a-fA-F]{2}|.)/g, (_, escape: string) => {
    if (escape.length === 3) return String.fromCharCode(parseInt(escape.slice(1), 16));
    const octet = ESCAPES.get(escape);
    assert(octet !== undefined, `\\${escape} is no escape of golden cases`);
    return octet;
  });
  return latin1(plain);
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["r", "\r"],
  ["n", "\n"],
  ["t", "\t"],
  ["\\", "\\"],
]);

function decodeHex(lines: readonly string[]): Uint8Array {
  return Uint8Array.fromHex(lines.map((line) => line.replace(/#.*$/, "").replace(/\s/g, "")).join(""));
}

/** Octets for a trace, in the notation of the blocks of bytes; long ones as their length only. */
export function showBytes(bytes: Uint8Array, lengthMax = 200): string {
  if (bytes.length > lengthMax) return `${bytes.length} bytes`;
  let shown = "";
  for (const octet of bytes) {
    const character = String.fromCharCode(octet);
    const escape = [...ESCAPES].find(([, value]) => value === character)?.[0];
    if (escape !== undefined) shown += `\\${escape}`;
    else if (octet < 0x20 || octet > 0x7e) shown += `\\x${octet.toString(16).padStart(2, "0")}`;
    else shown += character;
  }
  return `"${shown}"`;
}

/** Each character as the octet of its code. */
export function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => {
    const code = character.charCodeAt(0);
    assert(code < 256, `${JSON.stringify(character)} is not one octet; write its octets as \\xNN`);
    return code;
  });
}
