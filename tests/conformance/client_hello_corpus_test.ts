/** ClientHellos captured in the field (FoxIO's JA4 captures), read and fingerprinted. */
import { assert, assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import { type ClientHello, ClientHelloReader } from "../../src/tls/client_hello.ts";
import { ja3, ja3Text, ja4, ja4Text } from "../../src/tls/fingerprint.ts";

interface CorpusRow {
  id: string;
  input_hex: string;
  expected: {
    ja4: string;
    ja4_r: string;
    ja3: string;
    ja3_string: string;
    sni: string | null;
    alpn: string[] | null;
    legacy_version: number;
  };
}

const CORPUS = new URL("../../../shared/corpora/tls-clienthello/cases.jsonl", import.meta.url);

/** Rows where we differ on purpose; one that does not differ any more fails. */
const DISAGREEMENTS: ReadonlyMap<string, string> = new Map();

const md5 = (text: string) => createHash("md5").update(text).digest("hex");
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

Deno.test("ClientHelloReader, ja3 and ja4 agree with the published captures", () => {
  const rows = readCorpus();
  if (rows === null) return;
  const differing = new Map<string, unknown>();
  for (const row of rows) {
    const hello = readWhole(row);
    const found = {
      ja4: ja4(hello, sha256, "t"),
      ja4_r: ja4Text(hello, "t"),
      ja3: ja3(hello, md5),
      ja3_string: ja3Text(hello),
      sni: hello.sni,
      alpn: hello.extensions.includes(16) ? hello.alpn : null,
      legacy_version: hello.legacyVersion,
    };
    const { ja4: j4, ja4_r, ja3: j3, ja3_string, sni, alpn, legacy_version } = row.expected;
    const expected = { ja4: j4, ja4_r, ja3: j3, ja3_string, sni, alpn, legacy_version };
    if (JSON.stringify(found) !== JSON.stringify(expected)) differing.set(row.id, { found, expected });
  }
  for (const [id, values] of differing) assert(DISAGREEMENTS.has(id), `${id}: ${JSON.stringify(values)}`);
  for (const id of DISAGREEMENTS.keys()) assert(differing.has(id), `${id} agrees now: remove its exclusion`);
  console.log(`${rows.length - differing.size} of ${rows.length} captures agree`);
});

Deno.test("ClientHelloReader gives the same answer for a capture cut at any place, and asks for more before its end", () => {
  const rows = readCorpus();
  if (rows === null) return;
  for (const row of rows) {
    const bytes = bytesOf(row);
    const whole = readWhole(row);
    for (let cut = 0; cut < bytes.length; cut++) {
      const reader = new ClientHelloReader();
      assertEquals(reader.push(bytes.subarray(0, cut)), { type: "more" });
      const result = reader.push(bytes.subarray(cut));
      assert(
        result.type === "hello" && JSON.stringify(result.hello) === JSON.stringify(whole),
        `${row.id} at ${cut}`,
      );
    }
  }
});

function readWhole(row: CorpusRow): ClientHello {
  const result = new ClientHelloReader().push(bytesOf(row));
  if (result.type !== "hello") throw new Error(`${row.id}: ${JSON.stringify(result)}`);
  return result.hello;
}

function bytesOf(row: CorpusRow): Uint8Array {
  return Uint8Array.fromHex(row.input_hex);
}

function readCorpus(): CorpusRow[] | null {
  let text: string;
  try {
    text = Deno.readTextFileSync(CORPUS);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    console.log(`Skipped: ${CORPUS.pathname} is not on this machine`);
    return null;
  }
  return text.trimEnd().split("\n").map((line) => JSON.parse(line) as CorpusRow);
}
