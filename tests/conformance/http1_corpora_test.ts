/**
 * The HTTP/1.1 corpora of llhttp and Http11Probe against the engine.
 *
 * Where a row has a strict oracle (what a strict proxy does by RFC 9112), the engine must give the
 * same verdict after the same number of messages. llhttp's responses and URLs have none: there
 * llhttp's own result is the reference. Each difference is listed in `fixtures/expected.jsonl` with
 * our verdict and the reason; an entry that no longer differs fails, and so does a difference that
 * is not listed.
 */
import { assertEquals } from "@std/assert";
import { parseTarget } from "../../src/http1/target.ts";
import { MessageLoop } from "../http1/message_loop.ts";
import { cutInto } from "../support/golden.ts";

interface Oracle {
  class: "MUST_REJECT" | "STRICT_REJECT" | "ACCEPT" | "INCOMPLETE" | "H2_PREFACE";
  messages: number;
}

interface CorpusRow {
  id: string;
  direction: "request" | "response" | "url";
  input_hex: string;
  input_hex_with_host?: string;
  meta?: { skipBody?: boolean } | null;
  expected: {
    parse_error?: boolean;
    messages_completed?: number;
    strict_oracle?: Oracle;
    strict_oracle_with_host?: Oracle;
  };
}

/** One input and what is expected of it, as `VERDICT MESSAGES`. */
interface Case {
  suite: string;
  id: string;
  direction: CorpusRow["direction"];
  input: Uint8Array;
  /** The method that responses answer. */
  requestMethod: string;
  expected: string;
}

interface Exclusion {
  suite: string;
  id: string;
  ours: string;
  reason: string;
}

const CORPORA = new URL("../../../shared/corpora/", import.meta.url);
const EXCLUSIONS = new URL("../../fixtures/expected.jsonl", import.meta.url);

for (const suite of ["llhttp", "http11probe"]) {
  Deno.test(`the HTTP/1.1 engine gives the verdicts of ${suite}, or fixtures/expected.jsonl says why not`, () => {
    const rows = readLines<CorpusRow>(new URL(`${suite}/cases.jsonl`, CORPORA));
    if (rows === null) {
      console.log(`skipped: ${suite} is not in ../shared/corpora`);
      return;
    }
    const cases = rows.flatMap((row) => casesOf(suite, row));
    const exclusions = (readLines<Exclusion>(EXCLUSIONS) ?? []).filter((entry) =>
      entry.suite === suite || entry.suite === `${suite}+host`
    );
    const unused = new Map(exclusions.map((entry) => [`${entry.suite} ${entry.id}`, entry]));
    const unlisted: Exclusion[] = [];
    for (const { suite, id, expected, ...rest } of cases) {
      const ours = verdict(rest);
      for (const size of [1, 7]) {
        assertEquals(verdict(rest, size), ours, `${suite} ${id} in reads of ${size}`);
      }
      if (ours.short === expected) continue;
      const key = `${suite} ${id}`;
      if (unused.get(key)?.ours === ours.long) unused.delete(key);
      else unlisted.push({ suite, id, ours: ours.long, reason: `reference says ${expected}` });
    }
    assertEquals(unlisted.map((entry) => JSON.stringify(entry)), [], "differences that are not listed");
    assertEquals([...unused.keys()], [], "listed differences that are none any more");
    console.log(`${suite}: ${cases.length - exclusions.length} of ${cases.length} inputs agree`);
  });
}

function casesOf(suite: string, row: CorpusRow): Case[] {
  const { id, direction, expected } = row;
  const cases: Case[] = [];
  const requestMethod = row.meta?.skipBody ? "HEAD" : "GET";
  const add = (name: string, hex: string, expectation: string) =>
    cases.push({
      suite: name,
      id,
      direction,
      input: Uint8Array.fromHex(hex),
      requestMethod,
      expected: expectation,
    });
  if (expected.strict_oracle === undefined) {
    const messages = direction === "url" ? 0 : expected.messages_completed!;
    add(suite, row.input_hex, expected.parse_error ? `REJECT ${messages}` : `ACCEPT ${messages}`);
  } else {
    add(suite, row.input_hex, expectation(expected.strict_oracle));
  }
  if (expected.strict_oracle_with_host !== undefined) {
    add(`${suite}+host`, row.input_hex_with_host!, expectation(expected.strict_oracle_with_host));
  }
  return cases;
}

function expectation(oracle: Oracle): string {
  const rejects = oracle.class === "MUST_REJECT" || oracle.class === "STRICT_REJECT";
  return `${rejects ? "REJECT" : oracle.class} ${oracle.messages}`;
}

/** The engine's verdict: for comparison, and with the error's code for the list. */
function verdict(
  { direction, input, requestMethod }: Pick<Case, "direction" | "input" | "requestMethod">,
  readSize = Infinity,
): { short: string; long: string } {
  if (direction === "url") {
    const target = parseTarget(String.fromCharCode(...input), "GET");
    return "type" in target
      ? { short: "REJECT 0", long: `REJECT 0 ${target.code}` }
      : { short: "ACCEPT 0", long: "ACCEPT 0" };
  }
  const loop = new MessageLoop({ direction, requestMethod, closing: direction === "response" });
  for (const read of cutInto(input, readSize)) loop.push(read);
  const messages = loop.messages.filter((message) => message.complete).length;
  if (loop.error !== null) {
    return { short: `REJECT ${messages}`, long: `REJECT ${messages} ${loop.error.code}` };
  }
  // llhttp says of an unfinished response only that nothing was wrong so far.
  const open = !loop.between && direction === "request";
  const short = `${open ? "INCOMPLETE" : "ACCEPT"} ${messages}`;
  return { short, long: short };
}

function readLines<Line>(url: URL): Line[] | null {
  try {
    return Deno.readTextFileSync(url).split("\n").filter((line) => line !== "").map((line) =>
      JSON.parse(line) as Line
    );
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
