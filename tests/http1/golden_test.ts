/** Replays fixtures/http1: `request`, `response` and `connect` blocks through the engine. */
import { joinBytes } from "../../src/core/bytes.ts";
import { assertEquals } from "@std/assert";
import { parseConnectHead } from "../../src/http1/connect.ts";
import type { Http1Error } from "../../src/http1/errors.ts";
import { HeadReader } from "../../src/http1/head_reader.ts";
import { toOriginForm, withoutTransferCoding } from "../../src/http1/rewrite.ts";
import { type GoldenInput, type GoldenRun, latin1, showBytes, testGolden } from "../support/golden.ts";
import { type Message, MessageLoop } from "./message_loop.ts";

testGolden(
  "http1",
  (input, reads) => input.kind === "connect" ? connect(input, reads) : messages(input, reads),
);

function messages({ kind, options }: GoldenInput, reads: readonly Uint8Array[]): GoldenRun {
  assertEquals(["request", "response"].includes(kind), true, `${kind} is no kind of block`);
  const number = (name: string) => options.has(name) ? { [name]: Number(options.get(name)) } : {};
  const loop = new MessageLoop({
    direction: kind as "request" | "response",
    requestMethod: options.get("method") ?? "GET",
    messages: Number(options.get("messages") ?? 1),
    ...number("maxHeadBytes"),
    ...number("maxHeaderFields"),
  });
  for (const read of reads) loop.push(read);
  if (options.has("eof")) loop.end();
  const trace = loop.messages.flatMap((message) => describe(message, options));
  if (loop.error !== null) return { trace: [...trace, describeError(loop.error)], rest: null };
  if (loop.finished) {
    // Bytes before the end of the connection would be more content of such a body.
    return { trace, rest: loop.messages.at(-1)?.framing.type === "until_close" ? null : loop.rest };
  }
  return { trace: [...trace, loop.between ? "waits for a message" : "waits for more"], rest: null };
}

function connect({ options }: GoldenInput, reads: readonly Uint8Array[]): GoldenRun {
  const reader = new HeadReader({ maxHeadBytes: 65536 });
  for (const [index, read] of reads.entries()) {
    const result = reader.push(read, 0);
    if (result.type === "error") return { trace: [describeError(result)], rest: null };
    if (result.type === "more") continue;
    const rest = joinBytes([read.subarray(result.next), ...reads.slice(index + 1)]).length;
    const trace = (["strict", "lenient"] as const).flatMap((mode) => {
      const head = parseConnectHead(result.bytes, mode, {
        maxHeaderFields: Number(options.get("fields") ?? 256),
      });
      return head.type === "error"
        ? `${mode}: ${describeError(head)}`
        : `${mode}: to ${head.authority.host} port ${head.authority.port}, ${head.version}`;
    });
    return { trace, rest };
  }
  return { trace: ["waits for more"], rest: null };
}

function describe(message: Message, options: ReadonlyMap<string, string>): string[] {
  const { head, framing } = message;
  const lines: string[] = [];
  switch (head.type) {
    case "request": {
      lines.push(`request ${head.method} ${head.target} ${head.version}`);
      const { parsedTarget: target } = head;
      if (target.form === "absolute") {
        const { scheme, authority, path } = target;
        lines.push(`target ${scheme}, host ${authority.host}, port ${authority.port}, path ${path}`);
      }
      break;
    }
    case "response":
      lines.push(`response ${head.status} ${showBytes(latin1(head.reason))} ${head.version}`);
      break;
    case "connect":
      lines.push(`connect ${head.raw} ${head.version}`);
      break;
  }
  for (const [name, value] of head.fields) lines.push(`field ${name}: ${showBytes(latin1(value))}`);
  const marks = [message.keepAlive ? "keep-alive" : "close"];
  if (head.type === "request" && head.expectContinue) marks.push("expects 100-continue");
  if (head.type === "request" && head.upgrade) marks.push("offers an upgrade");
  lines.push(`connection ${marks.join(", ")}`);
  lines.push(framing.type === "length" ? `framing length ${framing.length}` : `framing ${framing.type}`);
  if (options.has("forward")) lines.push(...describeRewritten(message));
  if (message.content.length > 0) lines.push(`content ${showBytes(message.content)}`);
  for (const [name, value] of message.trailers) lines.push(`trailer ${name}: ${showBytes(latin1(value))}`);
  lines.push(`forwarded ${message.forwarded.length} bytes, ${message.complete ? "complete" : "incomplete"}`);
  return lines;
}

/** The head as it goes on from or to a client that uses us as a proxy, a line of the head a line. */
function describeRewritten({ head }: Message): string[] {
  const bytes = head.type === "request" && head.parsedTarget.form === "absolute"
    ? toOriginForm(head, head.parsedTarget.path, head.parsedTarget.authority)
    : head.type === "response"
    ? withoutTransferCoding(head)
    : null;
  if (bytes === null) return [];
  const text = String.fromCharCode(...bytes);
  return text.split("\r\n").slice(0, -1).map((line) => `sends ${showBytes(latin1(line))}`);
}

function describeError({ code, offset, rfc, detail }: Http1Error): string {
  return `error ${code} at ${offset}, ${rfc}: ${detail}`;
}
