import { assertEquals, assertStrictEquals } from "@std/assert";
import { Buffer } from "node:buffer";
import { ServerSessions } from "../../src/runtime/server_sessions.ts";

const session = Buffer.from("a session");

Deno.test("ServerSessions offers to a host what it gave, and nothing to another", () => {
  const sessions = new ServerSessions();
  assertStrictEquals(sessions.offer("a:443"), null);
  sessions.given("a:443", session);
  assertStrictEquals(sessions.offer("a:443"), session);
  assertStrictEquals(sessions.offer("a:8443"), null);
});

Deno.test("ServerSessions offers nothing after a failure until there is a new session, and after two not for 64 more", () => {
  const sessions = new ServerSessions();
  sessions.given("a", session);
  sessions.failed("a");
  assertStrictEquals(sessions.offer("a"), null);
  sessions.given("a", session);
  assertStrictEquals(sessions.offer("a"), session);
  for (let again = 0; again < 2; again++) {
    sessions.failed("a");
    for (let handshake = 0; handshake < 64; handshake++) {
      sessions.given("a", session);
      assertStrictEquals(sessions.offer("a"), null);
    }
    sessions.given("a", session);
    // Once more, and once more only.
    assertStrictEquals(sessions.offer("a"), session);
  }
});

Deno.test("ServerSessions forgives a failure when a later handshake with a session comes off", () => {
  const sessions = new ServerSessions();
  for (let round = 0; round < 3; round++) {
    sessions.failed("a");
    sessions.given("a", session);
    sessions.worked("a");
  }
  assertStrictEquals(sessions.offer("a"), session);
});

Deno.test("ServerSessions keeps 1024 hosts, and drops the one not used for longest", () => {
  const sessions = new ServerSessions();
  for (let host = 0; host < 1024; host++) sessions.given(`h${host}`, session);
  assertEquals([sessions.size, sessions.offer("h0")], [1024, session]);
  sessions.given("one more", session);
  assertEquals([sessions.size, sessions.offer("h0"), sessions.offer("h1")], [1024, session, null]);
});
