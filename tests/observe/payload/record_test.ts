import { assertEquals } from "@std/assert";
import zlib from "node:zlib";
import type { Attributes } from "../../../src/core/event.ts";
import { recordPayload, recordUnit, UNDECLARED } from "../../../src/observe/payload/record.ts";
import { LIMITS, observe } from "../observed.ts";

const encode = (text: string) => new TextEncoder().encode(text);

function context(passed: readonly string[] = [], limits = LIMITS) {
  const events: [string, Attributes][] = [];
  return {
    events,
    limits,
    passed,
    emit: (kind: string, attributes: Attributes) => void events.push([kind, attributes]),
    report: (stage: string, reason: string, attributes: Attributes = {}) =>
      void events.push([stage, { reason, ...attributes }]),
  };
}

Deno.test("a payload that has passed every stage names them in the order of the chain", () => {
  const unit = `data: )]}'{"a":1}\n\n`;
  const coded = zlib.deflateSync(zlib.gzipSync(encode(unit)));
  const { events } = observe([new Uint8Array(coded)], {
    fields: [
      ["transfer-encoding", "chunked"],
      ["content-encoding", "gzip, deflate"],
      ["content-type", "text/event-stream"],
    ],
  });
  const decoded = events.find(({ kind }) => kind === "payload_decoded")!;
  assertEquals(decoded.attributes["stages"], ["chunked", "deflate", "gzip", "sse", "sanitizer", "json"]);
});

Deno.test("no order of the arguments makes another order of the stages", () => {
  const to = context(["chunked", "br"]);
  recordPayload(
    to,
    { type: "payload", format: "json", sanitizer: "for_loop", value: 1, guessed: false },
    {
      bytes: 1,
      sha256: null,
      unit: { codings: ["permessage-deflate"], type: UNDECLARED, index: 3, framing: "websocket" },
    },
  );
  const stages = ["chunked", "br", "permessage-deflate", "websocket", "sanitizer", "json"];
  assertEquals(to.events[0]![1]["stages"], stages);
  assertEquals(to.events[0]![1]["index"], 3);
});

Deno.test("recordUnit tells of what is declared to be JSON and is none, and is silent on what nobody declares", () => {
  const declared = context();
  const unit = { framing: "ndjson", index: 5 } as const;
  recordUnit(declared, encode("{"), { ...unit, type: { kind: "json", charset: null } });
  assertEquals(declared.events.map(([kind, { index }]) => [kind, index]), [["payload", 5]]);
  const undeclared = context();
  for (const text of ["{", "hello", "5", ""]) {
    recordUnit(undeclared, encode(text), { ...unit, type: UNDECLARED });
  }
  assertEquals(undeclared.events, []);
  recordUnit(undeclared, Uint8Array.of(0x81, 0xa1, 0x61, 0x01), { ...unit, type: UNDECLARED });
  assertEquals(undeclared.events.map(([, { format, value }]) => [format, value]), [["msgpack", { a: 1 }]]);
});

Deno.test("recordUnit reads a unit of the size that is read, and not one octet more", () => {
  const to = context([], { ...LIMITS, payloadBytes: 4 });
  for (const text of ["[12]", "[123]"]) {
    recordUnit(to, encode(text), { framing: "sse", index: 0, type: UNDECLARED });
  }
  assertEquals(to.events.map(([, { value }]) => value), [[12]]);
});
