import { assertEquals } from "@std/assert";
import { askGate } from "../../src/http1/gate_question.ts";
import { parseRequestHead } from "../../src/http1/head.ts";
import { latin1 } from "../support/golden.ts";

function head(startLine: string) {
  const read = parseRequestHead(latin1(`${startLine} HTTP/1.1\r\nHost: a.test\r\n\r\n`), {
    maxHeaderFields: 9,
  });
  if (read.type === "error") throw new Error(read.detail);
  return read;
}

Deno.test("askGate asks for what the target names, else for the Host", () => {
  const asked: unknown[] = [];
  const gate = {
    ask: (...question: readonly unknown[]) => {
      asked.push(question);
      return null;
    },
  };
  const lines = ["GET /x?y", "OPTIONS *", "GET http://a.test/x", "CONNECT a.test:443"];
  for (const [index, line] of lines.entries()) assertEquals(askGate(gate, index, head(line)), null);
  assertEquals(asked, [
    [0, "GET", "a.test", "/x?y"],
    [1, "OPTIONS", "a.test", "*"],
    [2, "GET", "a.test:80", "/x"],
    [3, "CONNECT", "a.test:443", null],
  ]);
});

Deno.test("askGate lets everything through where there is no gate", () => {
  assertEquals(askGate(null, 1, head("GET /")), { type: "observe" });
});
