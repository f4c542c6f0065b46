import { assert, assertEquals } from "@std/assert";
import type { TransportFault } from "../../src/core/session.ts";
import { encodeAnswer } from "../../src/http1/answer.ts";
import { blockedAnswer, dialFailure, serverTlsFailure, tooManyFlowsAnswer } from "../../src/proxy/answers.ts";

const AUTHORITY = { host: "::1", port: 443 };

Deno.test("dialFailure gives each fault the status the contract names, with the target in the detail", () => {
  const expected: [TransportFault["kind"], number, string][] = [
    ["refused", 502, "upstream_connect_failed"],
    ["unresolved", 502, "upstream_connect_failed"],
    ["unreachable", 502, "upstream_connect_failed"],
    ["reset", 502, "upstream_connect_failed"],
    ["exhausted", 502, "upstream_connect_failed"],
    ["other", 502, "upstream_connect_failed"],
    ["tls", 502, "upstream_connect_failed"],
    ["timeout", 504, "upstream_connect_failed"],
    ["self_target", 508, "route_failed"],
  ];
  for (const [kind, status, reason] of expected) {
    const failure = dialFailure({ kind, code: "X", detail: "because" }, AUTHORITY);
    assertEquals([failure.answer.status, failure.reason], [status, reason], kind);
    assert(failure.answer.detail.includes("[::1]:443"), failure.answer.detail);
  }
});

Deno.test("encodeAnswer writes an exact content-length, a Proxy-Status, and no body for HEAD", () => {
  const answers = [
    blockedAnswer(AUTHORITY, "é"),
    tooManyFlowsAnswer(3),
    serverTlsFailure(AUTHORITY, "cert_validation", 'bad "name"'),
  ];
  for (const answer of answers) {
    const bytes = encodeAnswer(answer, { close: true });
    const text = new TextDecoder().decode(bytes);
    const [head, body] = text.split("\r\n\r\n") as [string, string];
    assert(head.startsWith(`HTTP/1.1 ${answer.status} `), head);
    assert(head.includes(`\r\nProxy-Status: soth-mitm; error=${answer.proxyError}\r\n`), head);
    assert(head.includes("\r\nConnection: close"), head);
    assertEquals(Number(/Content-Length: (\d+)/.exec(head)![1]), new TextEncoder().encode(body).length);
    assertEquals(JSON.parse(body), { error: answer.code, detail: answer.detail });
    const headOnly = new TextDecoder().decode(encodeAnswer(answer, { method: "HEAD", close: true }));
    assertEquals(headOnly, `${head}\r\n\r\n`);
  }
});
