/**
 * kawanet's msgpack-test-suite against the payload decoder: each row's value, and that no row is taken for whole
 * when it is cut. Differences would be listed in `fixtures/expected.jsonl`, each with its reason; there are none.
 */
import { assertEquals } from "@std/assert";
import type { AttributeValue } from "../../src/core/event.ts";
import { parseMsgPack } from "../../src/observe/payload/msgpack.ts";
import { readCorpus, unlisted } from "../support/corpora.ts";

interface CorpusRow {
  id: string;
  input_hex: string;
  expected: { ok: boolean; kind: string; value: AttributeValue };
}

Deno.test("MsgPack values are those of msgpack-test-suite, or fixtures/expected.jsonl says why not", () => {
  const rows = readCorpus<CorpusRow>("msgpack");
  if (rows === null) {
    console.log("skipped: msgpack is not in ../shared/corpora");
    return;
  }
  const differences: { id: string; ours: string }[] = [];
  for (const { id, input_hex, expected } of rows) {
    const content = Uint8Array.fromHex(input_hex);
    const parsed = parseMsgPack(content);
    const ours = parsed.type === "error" ? parsed.detail : JSON.stringify(parsed.value);
    if (!expected.ok || ours !== expectation(expected.kind, expected.value)) differences.push({ id, ours });
    for (let length = 0; length < content.length; length++) {
      assertEquals(parseMsgPack(content.subarray(0, length)).type, "error", `${id}, cut to ${length} octets`);
    }
  }
  assertEquals(unlisted("msgpack", differences), []);
  console.log(`msgpack: ${rows.length - differences.length} of ${rows.length} messages agree`);
});

const base64 = (hex: string) => Uint8Array.fromHex(hex.replaceAll("-", "")).toBase64();

/** How the log says what the suite says; timestamps are extensions of type -1. */
function expectation(kind: string, value: AttributeValue): string {
  switch (kind) {
    case "bignum":
      return String(value);
    case "binary":
      return JSON.stringify({ bin: base64(String(value)) });
    case "ext": {
      const [type, data] = value as [number, string];
      return JSON.stringify({ data: base64(data), ext: type });
    }
    case "timestamp": {
      const [seconds, nanoseconds] = value as [number, number];
      return JSON.stringify({ data: timestamp(seconds, nanoseconds).toBase64(), ext: -1 });
    }
    default:
      return JSON.stringify(value);
  }
}

/** The shortest of the three forms of the specification. */
function timestamp(seconds: number, nanoseconds: number): Uint8Array {
  const octets = new Uint8Array(12);
  const view = new DataView(octets.buffer);
  if (seconds >= 0 && seconds < 2 ** 34) {
    const word = BigInt(nanoseconds) << 34n | BigInt(seconds);
    view.setBigUint64(0, word);
    return word < 2n ** 32n ? octets.subarray(4, 8) : octets.subarray(0, 8);
  }
  view.setUint32(0, nanoseconds);
  view.setBigInt64(4, BigInt(seconds));
  return octets;
}
