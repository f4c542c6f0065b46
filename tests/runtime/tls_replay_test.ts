import { assertEquals } from "@std/assert";
import { replayTlsCallbacks, type TlsReplayResult } from "../../src/runtime/tls_replay.ts";
import { encodeHeader } from "../../src/log/encode.ts";
import { LogVerifier } from "../../src/log/verify.ts";

const client = { id: "c1", peername: ["127.0.0.1", 5_000], sni: "a.test" };
const line = (event: string, more: Readonly<Record<string, unknown>> = {}) =>
  JSON.stringify({
    event,
    time: 1_700_000_000,
    conn: { ...client, ...more },
    context: { client, server: { address: ["a.test", 443] } },
  });

const LINES = [
  line("tls_start_client"),
  "",
  "no line of ours",
  line("tls_failed_client", { error: "tlsv1 alert unknown ca" }),
  line("tls_failed_client"),
];

async function replayed(lines: Iterable<string> | AsyncIterable<string>): Promise<TlsReplayResult[]> {
  return await Array.fromAsync(replayTlsCallbacks(lines));
}

Deno.test("replayTlsCallbacks gives events with their lines, and bad lines without an end of the reading", async () => {
  const results = await replayed(LINES);
  assertEquals(
    results.map((result) =>
      result.type === "event" ? [result.line, result.event.kind] : [result.line, result.detail]
    ),
    [
      [1, "connect_received"],
      [1, "connect_decision"],
      [1, "tls_handshake_started"],
      [3, "it is no JSON"],
      [4, "tls_handshake_failed"],
      [5, "conn.error is no text, though it failed"],
      [null, "stream_closed"],
    ],
  );
  const asynchronous = (async function* () {
    yield* LINES;
  })();
  assertEquals(await replayed(asynchronous), results);
});

Deno.test("the events of replayTlsCallbacks are a valid log", async () => {
  const verifier = new LogVerifier();
  const header = encodeHeader({
    version: "0.0.0",
    openedAt: "2026-01-01T00:00:00.000Z",
    configDigest: "x",
    opening: 1,
    continuesSequenceId: 0,
    continuesTimeNs: 0,
  }).trimEnd();
  const lines = [header];
  for (const result of await replayed(LINES)) {
    if (result.type === "event") lines.push(canonical(result.event));
  }
  for (const [index, text] of lines.entries()) {
    assertEquals(verifier.line(text, { lineNumber: index + 1, byteOffset: 0 }), null, text);
  }
});

/** Attributes sorted, as in a log; those of these events are flat. */
function canonical(event: { readonly attributes: object }): string {
  const attributes = Object.fromEntries(Object.entries(event.attributes).sort(([a], [b]) => a < b ? -1 : 1));
  return JSON.stringify({ ...event, attributes });
}
