import { assertEquals } from "@std/assert";
import { REPLAYED_FLOWS_MAX, type ReplayedEvent, TlsReplay } from "../../src/proxy/tls_replay.ts";
import { readTlsCallback, type TlsCallback } from "../../src/tls/mitmproxy.ts";

function callback(event: string, overrides: Readonly<Record<string, unknown>> = {}): TlsCallback {
  const { id = "c1", time = 1_000, error = null, sni = "a.test", address = ["a.test", 443] } = overrides;
  const client = { id, peername: ["10.0.0.1", 5_000] };
  const conn = { ...(event.endsWith("client") ? client : { id: "s1" }), sni, error, address };
  const line = { event, time, conn, context: { client, server: { address } } };
  const read = readTlsCallback(JSON.stringify(line));
  if (read.type === "error") throw new Error(read.detail);
  return read.callback;
}

function newReplay(): TlsReplay {
  let count = 0;
  return new TlsReplay({ flowIdPrefix: "1-", countTlsFailure: () => ({ reason: ++count, total: count }) });
}

const told = (events: readonly ReplayedEvent[]) =>
  events.map(({ context, event }) => `${context.flowId} ${event.kind}`);

Deno.test("TlsReplay puts the callbacks of a client connection into one flow, which ends with the reading", () => {
  const replay = newReplay();
  assertEquals(told(replay.take(callback("tls_start_server"))), [
    "1-1 connect_received",
    "1-1 connect_decision",
    "1-1 tls_handshake_started",
  ]);
  assertEquals(
    told(replay.take(callback("tls_start_client", { id: "c2" }))).at(-1),
    "1-2 tls_handshake_started",
  );
  assertEquals(told(replay.take(callback("tls_established_server"))), ["1-1 tls_handshake_succeeded"]);
  const [failed] = replay.take(
    callback("tls_failed_client", {
      time: 1_000.25,
      error: "The client does not trust the proxy's certificate for a.test (tlsv1 alert unknown ca)",
    }),
  );
  assertEquals(failed?.at, 250_000_000);
  assertEquals(failed?.event.attributes["normalized_reason"], "unknown_ca");
  assertEquals(failed?.event.attributes["provider_identity"], "mitmproxy");
  assertEquals(failed?.event.attributes["source_confidence"], "authoritative");
  assertEquals(failed?.event.attributes["host"], "a.test");
  assertEquals(failed?.event.attributes["host_failures"], 1);
  const ends = replay.finish();
  assertEquals(
    ends.map(({ context, event }) => [context.flowId, event.kind, event.attributes["reason_code"]]),
    [["1-2", "stream_closed", "complete"], ["1-1", "stream_closed", "tls_handshake_failed"]],
  );
  assertEquals(replay.finish(), []);
});

Deno.test("TlsReplay lets time only go on, and takes a line without a time for as late as the last", () => {
  const replay = newReplay();
  const at = (time: unknown) => replay.take(callback("tls_start_client", { time })).at(-1)?.at;
  assertEquals([at(null), at(50), at(51.5), at(50), at(null), at(1e300), at(52)], [
    0,
    0,
    1.5e9,
    1.5e9,
    1.5e9,
    1.5e9,
    2e9,
  ]);
});

Deno.test("TlsReplay keeps a bounded number of flows; the one that was heard of longest ago is over", () => {
  const replay = newReplay();
  for (let index = 0; index < REPLAYED_FLOWS_MAX; index++) {
    replay.take(callback("tls_start_client", { id: `c${index}` }));
  }
  replay.take(callback("tls_established_client", { id: "c0" }));
  assertEquals(told(replay.take(callback("tls_start_client", { id: "new" }))).slice(0, 2), [
    "1-2 stream_closed",
    `1-${REPLAYED_FLOWS_MAX + 1} connect_received`,
  ]);
  assertEquals(replay.finish().length, REPLAYED_FLOWS_MAX);
});

Deno.test("TlsReplay says of a server that is nowhere that it is not known", () => {
  const replay = newReplay();
  const servers = [["", 443], ["[x", 443], ["a.test", 0], ["a.test", 443]];
  const known = servers.map((address, index) => {
    const [{ context, event } = { context: null, event: null }] = replay.take(
      callback("tls_start_client", { id: `c${index}`, address }),
    );
    return [context?.serverHost, context?.serverPort, event?.attributes["authority"]];
  });
  assertEquals(known, [
    [null, 0, "a.test"],
    [null, 0, "a.test"],
    [null, 0, "a.test"],
    ["a.test", 443, "a.test:443"],
  ]);
});
