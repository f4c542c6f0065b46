/** Corpora of published vectors beside the project, and the list of where we differ from them. */
import { assertEquals } from "@std/assert";

const CORPORA = new URL("../../../shared/corpora/", import.meta.url);
const EXCLUSIONS = new URL("../../fixtures/expected.jsonl", import.meta.url);

interface Exclusion {
  suite: string;
  id: string;
  ours: string;
  reason: string;
}

/** The rows of a file; null where the folder is not there. */
export function readCorpus<Row>(suite: string, file = "cases.jsonl"): Row[] | null {
  return readLines<Row>(new URL(`${suite}/${file}`, CORPORA));
}

/** The differences that `fixtures/expected.jsonl` does not list. Fails where it lists one that is none. */
export function unlisted(suite: string, differences: readonly { id: string; ours: string }[]): string[] {
  const listed = (readLines<Exclusion>(EXCLUSIONS) ?? []).filter((entry) => entry.suite === suite);
  const unused = new Set(listed.map(({ id, ours }) => `${id} ${ours}`));
  const rest = differences.map(({ id, ours }) => `${id} ${ours}`).filter((key) => !unused.delete(key));
  assertEquals([...unused], [], "listed differences that are none any more");
  return rest;
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
