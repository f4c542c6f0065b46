import { assert, assertEquals } from "@std/assert";
import { latin1 } from "../../src/sim/bytes.ts";
import { SimClock } from "../../src/sim/clock.ts";
import { answers, ends, pauses, playClient, says, saysInVain, ServerPart } from "../../src/sim/dialogue.ts";
import { CALM, Link } from "../../src/sim/link.ts";
import { Random } from "../../src/sim/random.ts";
import { Deviation, Peer, type Script, unlessClosed } from "../../src/sim/script.ts";

const SECOND = 1_000_000_000;
const ANSWER =
  "HTTP/1.1 502 Bad Gateway\r\nContent-Type: application/json\r\nContent-Length: 2\r\nProxy-Status: soth-mitm; error=dns_error\r\n\r\n{}";

/** What becomes of a script whose peer says `said` and then ends, resets, or stays. */
async function outcome<Result>(
  script: (peer: Peer) => Script<Result>,
  said: string,
  then: "ends" | "resets" | "stays" = "ends",
): Promise<Result | Deviation | "waits"> {
  const clock = new SimClock();
  const link = new Link(clock, new Random(1), CALM);
  const peer = new Peer(clock, link.client);
  let result: Result | Deviation | "waits" = "waits";
  peer.play(script(peer), (over) => result = over);
  link.server.write(latin1(said));
  await clock.run(SECOND);
  if (then === "ends") link.server.end();
  if (then === "resets") link.server.reset();
  await clock.run(2 * SECOND);
  return result;
}

function kind(result: unknown): string {
  return result instanceof Deviation ? result.kind : String(result);
}

Deno.test("expect takes exactly its bytes, and tells how it failed", async () => {
  const expecting = (text: string) => (peer: Peer) => peer.expect(latin1(text));
  assertEquals(await outcome(expecting("abc"), "abc"), undefined);
  assertEquals(await outcome(expecting("abc"), "ab", "stays"), "waits");
  assertEquals(kind(await outcome(expecting("abc"), "ab")), "ended");
  assertEquals(kind(await outcome(expecting("abc"), "ab", "resets")), "reset");
  assertEquals(kind(await outcome(expecting("abc"), "abx")), "mismatch");
});

Deno.test("expect knows an answer of the proxy where another message should begin, and only there", async () => {
  const expecting = (text: string) => (peer: Peer) => peer.expect(latin1(text));
  assertEquals(kind(await outcome(expecting("HTTP/1.1 200 OK\r\n"), ANSWER, "stays")), "answered");
  assertEquals(kind(await outcome(expecting("HTTP/1.1 500 \r\n"), ANSWER, "stays")), "answered");
  assertEquals(kind(await outcome(expecting("binary"), ANSWER, "stays")), "answered");
  assertEquals(kind(await outcome(expecting("HTTP/1.1 200 OK\r\n"), ANSWER.slice(0, 30))), "ended");
  assertEquals(kind(await outcome(expecting("0123456789abcdef"), `0123456789${ANSWER}`)), "mismatch");
  assertEquals(
    kind(await outcome(expecting("HTTP/1.1 200 OK"), "HTTP/1.1 502 Bad Gateway\r\nServer: x\r\n\r\n")),
    "mismatch",
  );
});

Deno.test("expectEnd, expectPart and expectAnswer", async () => {
  assertEquals(await outcome((peer) => peer.expectEnd(), ""), undefined);
  assertEquals(kind(await outcome((peer) => peer.expectEnd(), "x")), "mismatch");
  assertEquals(kind(await outcome((peer) => peer.expectEnd(), ANSWER)), "answered");
  assertEquals(kind(await outcome((peer) => peer.expectEnd(), "", "resets")), "reset");
  const part = (peer: Peer) => peer.expectPart(latin1("abc"));
  assertEquals(await outcome(part, "ab", "resets"), undefined);
  assertEquals(kind(await outcome(part, "ax")), "mismatch");
  assertEquals(await outcome((peer) => peer.expectAnswer(), ANSWER), 502);
  assertEquals(await outcome((peer) => peer.expectAnswer({ toHead: true }), ANSWER.slice(0, -2)), 502);
  assertEquals(kind(await outcome((peer) => peer.expectAnswer(), "")), "ended");
  assertEquals(kind(await outcome((peer) => peer.expectAnswer(), "HTTP/1.1 200 OK\r\n\r\n")), "mismatch");
});

Deno.test("unlessClosed lets a script be cut short, but not be told lies", async () => {
  assertEquals(await outcome((peer) => unlessClosed(peer.expect(latin1("abc"))), "ab"), undefined);
  assertEquals(kind(await outcome((peer) => unlessClosed(peer.expect(latin1("abc"))), "xy")), "mismatch");
});

Deno.test("a paced peer says its first bytes a few at a time, a sipping one rests after each read", async () => {
  const clock = new SimClock();
  const link = new Link(clock, new Random(1), CALM);
  const peer = new Peer(clock, link.client);
  peer.pace = { bytes: 2, everyMs: 10, untilBytes: 4 };
  let heard = 0;
  link.server.handler = { ...link.server.handler, onData: (data) => heard += data.length };
  peer.play(peer.send(latin1("abcdefgh")), () => {});
  await clock.run(5_000_000);
  assertEquals(heard, 2);
  await clock.run(100_000_000);
  assertEquals(heard, 8);
  peer.sipEveryMs = 50;
  link.server.write(latin1("x"));
  await clock.run(110_000_000);
  assert(!peer.end.isReading);
  await clock.run(SECOND);
  assert(peer.end.isReading);
});

Deno.test("a dialogue is played by both peers, each its part", async () => {
  const clock = new SimClock();
  const link = new Link(clock, new Random(1), CALM);
  const [client, server] = [new Peer(clock, link.client), new Peer(clock, link.server)];
  const turns = [
    says("client", latin1("ask")),
    pauses("server", 20),
    says("server", latin1("tell")),
    ends("client"),
    says("server", latin1("more")),
    ends("server"),
  ];
  const part = new ServerPart(turns, 0);
  const over: unknown[] = [];
  client.play(playClient(client, turns, "ends"), (result) => over.push(result));
  server.play(part.play(server), (result) => over.push(result));
  await clock.run(SECOND);
  assertEquals([over, part.isOver, client.closed], [[undefined, undefined], true, true]);
});

Deno.test("a server's part goes on where an earlier connection left off", async () => {
  const clock = new SimClock();
  const turns = [
    says("client", latin1("one"), 2),
    says("server", latin1("1"), 2),
    says("client", latin1("elsewhere"), 1),
    answers(403),
    says("client", latin1("withheld"), 2, new Uint8Array(0)),
    says("client", latin1("two"), 2),
    says("server", latin1("2"), 2),
  ];
  const part = new ServerPart(turns, 2);
  for (const word of ["one", "two"]) {
    const link = new Link(clock, new Random(1), CALM);
    const server = new Peer(clock, link.server);
    server.play(part.play(server), (result) => assertEquals(result, undefined));
    link.client.write(latin1(word));
    await clock.run(clock.now() + SECOND);
    link.client.end();
    await clock.run(clock.now() + SECOND);
    assertEquals(part.isOver, word === "two");
  }
});

Deno.test("what is said in vain may arrive in part, and nothing after it", async () => {
  const turns = [saysInVain("server", latin1("abcdef"), 0, latin1("abc"))];
  const played = (said: string, then: "ends" | "resets") =>
    outcome((peer) => playClient(peer, turns, "waits"), said, then);
  assertEquals(await played("ab", "resets"), undefined);
  assertEquals(await played("abc", "ends"), undefined);
  assertEquals(kind(await played("abcd", "ends")), "mismatch");
});
