/**
 * The header blocks of http2jp/hpack-test-case against the HPACK decoder: each row's list, with one
 * decoder for each context. What was decoded is encoded anew and must decode to the same list.
 * Differences would be listed in `fixtures/expected.jsonl`, each with its reason; there are none.
 */
import { assertEquals } from "@std/assert";
import { assert } from "../../src/core/assert.ts";
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { encodeFieldBlock } from "../../src/http2/hpack_encoder.ts";
import { readCorpus, unlisted } from "../support/corpora.ts";

interface CorpusRow {
  id: string;
  context: string;
  header_table_size: number | null;
  input_hex: string;
  expected: { headers: [string, string][] };
}

const LIMITS = { maxHeaderListSize: 1_000_000, maxHeaderFields: 10_000, maxTableBytes: 65_536 };

Deno.test("HpackDecoder gives the lists of hpack-test-case, or fixtures/expected.jsonl says why not", () => {
  const rows = readCorpus<CorpusRow>("hpack");
  if (rows === null) {
    console.log("skipped: hpack is not in ../shared/corpora");
    return;
  }
  const decoders = new Map<string, HpackDecoder>();
  const differences: { id: string; ours: string }[] = [];
  for (const { id, context, header_table_size, input_hex, expected } of rows) {
    const decoder = decoders.get(context) ?? new HpackDecoder("client", LIMITS);
    decoders.set(context, decoder);
    if (header_table_size !== null) decoder.setTableLimit(header_table_size);
    const decoded = decoder.decode(Uint8Array.fromHex(input_hex), 1);
    if (decoded.type === "error") {
      differences.push({ id, ours: decoded.code });
      continue;
    }
    const list = decoded.fields.map(({ field }) => field);
    if (JSON.stringify(list) !== JSON.stringify(expected.headers)) {
      differences.push({ id, ours: "other fields" });
    }
    const again = new HpackDecoder("client", LIMITS).decode(encodeFieldBlock(decoded.fields), 1);
    assert(again.type === "fields", `${id}: what was encoded anew decodes`);
    assertEquals(again.fields, decoded.fields, id);
  }
  assertEquals(unlisted("hpack", differences), []);
  console.log(`hpack: ${rows.length - differences.length} of ${rows.length} blocks agree`);
});
