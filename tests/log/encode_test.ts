import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Attributes, AttributeValue } from "../../src/core/event.ts";
import { encodeAttributes, encodeEvent, encodeHeader } from "../../src/log/encode.ts";
import { flowContext, flowEvent, requestHeaders } from "./log_builder.ts";

Deno.test("encodeEvent writes the envelope in the contract's order, then sorted attributes, then a line end", () => {
  const event = flowEvent("connect_decision", { rule_id: "r", reason: "rule", action: "block" });
  assertEquals(
    encodeEvent(7, 2, 1234, flowContext("1-3"), event),
    '{"schema":"soth-mitm-event-log-v2","sequence_id":7,"flow_id":"1-3","flow_sequence_id":2,"time_ns":1234,' +
      '"kind":"connect_decision","protocol":"connect","stream_key":"flow","client_addr":"127.0.0.1:50123",' +
      '"server_host":"api.example.com","server_port":443,' +
      '"attributes":{"action":"block","reason":"rule","rule_id":"r"}}\n',
  );
});

Deno.test("encodeEvent writes null and 0 for a server that is not known yet", () => {
  const context = flowContext("1-1", { serverHost: null, serverPort: 0 });
  const line = encodeEvent(1, 1, 1, context, requestHeaders(1));
  assert(line.includes(',"server_host":null,"server_port":0,"attributes":{"authority":'), line);
});

Deno.test("encodeEvent escapes what an envelope string may not hold raw", () => {
  const context = flowContext('1-1"\\', { clientAddr: "é\n", serverHost: "x".repeat(100) });
  const line = encodeEvent(1, 1, 1, context, requestHeaders(1));
  const parsed = JSON.parse(line);
  assertEquals([parsed.flow_id, parsed.client_addr, parsed.server_host], ['1-1"\\', "é\n", "x".repeat(100)]);
  assertEquals(line.indexOf("\n"), line.length - 1);
});

Deno.test("encodeHeader writes log_opened without a sequence_id", () => {
  assertEquals(
    encodeHeader({
      version: "0.1.0",
      openedAt: "2026-01-02T03:04:05.678Z",
      configDigest: "sha256:00",
      opening: 2,
      continuesSequenceId: 41,
      continuesTimeNs: 99,
    }),
    '{"schema":"soth-mitm-event-log-v2","kind":"log_opened","version":"0.1.0",' +
      '"opened_at":"2026-01-02T03:04:05.678Z","config_digest":"sha256:00","opening":2,' +
      '"continues_sequence_id":41,"continues_time_ns":99}\n',
  );
});

Deno.test("encodeAttributes sorts keys by UTF-16 code units at every depth, numeric ones too", () => {
  const value = {
    b: 1,
    a: { z: 1, "10": 1, "9": 2, é: 3, Z: [{ y: 1, x: 2 }] },
    "\u{1f600}": 1,
    "\uff5e": 2,
  };
  assertEquals(
    encodeAttributes(value),
    '{"a":{"10":1,"9":2,"Z":[{"x":2,"y":1}],"z":1,"é":3},"b":1,"\u{1f600}":1,"\uff5e":2}',
  );
  assertEquals(encodeAttributes({ "10": 1, "9": 2 }), '{"10":1,"9":2}');
});

Deno.test("encodeAttributes writes a lone surrogate as an escape, so that the line is UTF-8", () => {
  const line = encodeAttributes({ data: "a\ud800b", "k\udc00": [] });
  assertEquals(line, '{"data":"a\\ud800b","k\\udc00":[]}');
  assertEquals(JSON.parse(line), { data: "a\ud800b", "k\udc00": [] });
});

// Not the default unit: strings of any UTF-16 code units, lone surrogates and all.
const anyString = fc.array(fc.integer({ min: 0, max: 0xffff }), { maxLength: 12 })
  .map((codes) => String.fromCharCode(...codes));
const key = fc.oneof(
  anyString,
  fc.string(),
  fc.nat(20).map(String),
  fc.constantFrom("__proto__", "toJSON", "a", "b"),
);
const { value: anyValue } = fc.letrec<{ value: AttributeValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    anyString,
    // JSON has no -0 and no NaN; attributes are counts, codes and durations.
    fc.double({ noNaN: true, noDefaultInfinity: true }).map((number) => number === 0 ? 0 : number),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie("value"), { maxLength: 4 }),
    fc.array(fc.tuple(key, tie("value")), { maxLength: 6 })
      .map((entries) => Object.fromEntries(entries) as AttributeValue),
  ),
}));
const anyAttributes = fc.array(fc.tuple(key, anyValue), { maxLength: 8 })
  .map((entries) => Object.fromEntries(entries) as Attributes);

Deno.test("encodeEvent loses nothing and gives one sorted line, whatever the attributes", () => {
  fc.assert(
    fc.property(anyAttributes, (attributes) => {
      const line = encodeEvent(1, 1, 1, flowContext("1-1"), flowEvent("connect_received", attributes));
      assertEquals(line.indexOf("\n"), line.length - 1);
      assertEquals(new TextDecoder("utf-8", { fatal: true }).decode(new TextEncoder().encode(line)), line);
      assertEquals(JSON.parse(line).attributes, attributes);
      const written = line.slice(line.indexOf(',"attributes":') + ',"attributes":'.length, -2);
      assertSorted(written);
      assertEquals(encodeAttributes(JSON.parse(written)), written);
    }),
    { numRuns: 500 },
  );
});

/** An independent reading of key order: object keys in the text itself, since parsing would reorder some. */
function assertSorted(json: string): void {
  const open: (string | null)[][] = [];
  const token = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^{}[\],:"]+/g;
  let expectsKey = false;
  for (const [part] of json.matchAll(token)) {
    const keys = open.at(-1);
    if (part === "{") {
      open.push([]);
      expectsKey = true;
    } else if (part === "[") {
      open.push([null]);
      expectsKey = false;
    } else if (part === "}" || part === "]") {
      open.pop();
      expectsKey = false;
    } else if (part === ",") {
      expectsKey = keys !== undefined && keys[0] !== null;
    } else if (expectsKey && part.startsWith('"')) {
      const name: string = JSON.parse(part);
      const previous = keys!.at(-1);
      assert(previous === undefined || previous! < name, `${JSON.stringify(previous)} stands before ${part}`);
      keys!.push(name);
      expectsKey = false;
    }
  }
}

Deno.test("encodeAttributes writes a number of its own digits as it is, sorted or not", () => {
  const exact = JSON.rawJSON("12345678901234567890");
  assertEquals(
    encodeAttributes({ a: exact, b: [exact] }),
    '{"a":12345678901234567890,"b":[12345678901234567890]}',
  );
  assertEquals(
    encodeAttributes({ b: 1, a: { d: 2, c: exact } }),
    '{"a":{"c":12345678901234567890,"d":2},"b":1}',
  );
});

Deno.test("encodeAttributes orders the keys of objects that follow each other, alike or not", () => {
  const objects = [{ b: 1, a: 2 }, { b: 3, a: 4 }, { c: 5, a: 6 }, { b: 7, a: 8 }, {
    b: 9,
    a: 1,
    "\u00e9": { z: 1, y: 2 },
  }];
  assertEquals(
    encodeAttributes(objects),
    '[{"a":2,"b":1},{"a":4,"b":3},{"a":6,"c":5},{"a":8,"b":7},{"a":1,"b":9,"\u00e9":{"y":2,"z":1}}]',
  );
  const long = "k".repeat(1_000);
  for (let time = 0; time < 2; time++) {
    assertEquals(encodeAttributes({ [long]: 1, a: 2 }), `{"a":2,"${long}":1}`);
  }
});
