import { assertEquals } from "@std/assert";
import { tlsFault, transportFault } from "../../src/runtime/faults.ts";

function coded(code: string, message = "it broke"): Error {
  return Object.assign(new Error(message), { code });
}

Deno.test("transportFault names the kind of a platform's error code and keeps code and message", () => {
  const kinds = ["ECONNRESET", "ECONNREFUSED", "ETIMEDOUT", "ENOTFOUND", "ENETUNREACH", "EMFILE", "EWHATEVER"]
    .map((code) => transportFault(coded(code)).kind);
  assertEquals(kinds, ["reset", "refused", "timeout", "unresolved", "unreachable", "exhausted", "other"]);
  assertEquals(transportFault(coded("EPIPE")), { kind: "reset", code: "EPIPE", detail: "it broke" });
});

Deno.test("transportFault lets the first of several attempts speak, and takes anything that was thrown", () => {
  const all = new AggregateError([coded("ECONNREFUSED"), coded("ETIMEDOUT")]);
  assertEquals(transportFault(all).kind, "refused");
  assertEquals(transportFault("text"), { kind: "other", code: "UNKNOWN", detail: "text" });
  assertEquals(transportFault(new TypeError("")), { kind: "other", code: "TypeError", detail: "TypeError" });
});

Deno.test("tlsFault takes what the transport does not explain for TLS", () => {
  assertEquals(tlsFault(coded("ERR_SSL_WRONG_VERSION_NUMBER")).kind, "tls");
  assertEquals(tlsFault(coded("ECONNRESET")).kind, "reset");
});
