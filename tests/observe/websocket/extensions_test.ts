import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { agree, parseExtensions } from "../../../src/observe/websocket/extensions.ts";

Deno.test("parseExtensions reads lists, parameters, quotes and empty elements", () => {
  assertEquals(parseExtensions(['a, , B ; x ; y = 1;z="2, \\"3"', "c"]), [
    { name: "a", parameters: [] },
    { name: "b", parameters: [["x", null], ["y", "1"], ["z", '2, "3']] },
    { name: "c", parameters: [] },
  ]);
  assertEquals(parseExtensions([]), []);
});

Deno.test("parseExtensions gives nothing for what is not of the grammar", () => {
  for (
    const value of [";", "a b", "a;", "a;=1", 'a;x="', "a;x=", "(", "a;x=1 2", Array(40).fill("a").join(",")]
  ) {
    assertEquals(parseExtensions([value]), null, value);
  }
});

Deno.test("agree says who looks back into earlier messages", () => {
  const offer = ["permessage-deflate; client_max_window_bits"];
  const takeover = (answer: string) => {
    const { compression, violations } = agree(offer, [answer]);
    return [compression?.clientTakeover, compression?.serverTakeover, ...violations];
  };
  assertEquals(takeover("permessage-deflate"), [true, true]);
  assertEquals(takeover("permessage-deflate; server_no_context_takeover"), [true, false]);
  assertEquals(
    takeover(
      "permessage-deflate;client_no_context_takeover;server_max_window_bits=10;client_max_window_bits=8",
    ),
    [false, true],
  );
});

Deno.test("agree names what the answer may not say", () => {
  const violations = (offers: string[], answers: string[]) => agree(offers, answers).violations;
  const deflate = "permessage-deflate";
  assertEquals(violations([], [deflate]), ["extension_not_offered"]);
  assertEquals(violations([deflate], []), []);
  for (
    const parameters of [
      "client_max_window_bits=10",
      "server_max_window_bits=16",
      "server_max_window_bits",
      "server_no_context_takeover=1",
      "unknown",
      "server_no_context_takeover; server_no_context_takeover",
    ]
  ) {
    assertEquals(violations([deflate], [`${deflate}; ${parameters}`]), ["deflate_parameters"], parameters);
  }
  assertEquals(violations([deflate], [deflate, deflate]), ["deflate_parameters"]);
  assertEquals(violations(["("], [deflate]), ["extensions_malformed"]);
});

Deno.test("agree leaves the bits that extensions of others may use to them", () => {
  assertEquals(agree(["x"], ["x"]).foreignReserved, 0x70);
  assertEquals(agree(["permessage-deflate, x"], ["permessage-deflate, x"]).foreignReserved, 0x30);
  assertEquals(agree(["permessage-deflate"], ["permessage-deflate"]).foreignReserved, 0);
});

Deno.test("parseExtensions reads back what a writer has put there, and gives a value or none for any text", () => {
  const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9a-z-]{1,8}$/);
  const quoted = fc.string({ maxLength: 6 }).map((text) => text.replace(/[^\x20-\x7e]/g, "x"));
  const parameter = fc.tuple(token, fc.option(fc.oneof(token, quoted)));
  const extension = fc.record({ name: token, parameters: fc.array(parameter, { maxLength: 3 }) });
  const isToken = (text: string) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(text);
  const written = (value: string) => isToken(value) ? value : `"${value.replace(/["\\]/g, "\\$&")}"`;
  fc.assert(
    fc.property(
      fc.array(extension, { maxLength: 4 }),
      fc.constantFrom(",", ", ", " ,\t"),
      (extensions, comma) => {
        const text = extensions.map(({ name, parameters }) =>
          [name, ...parameters.map(([key, value]) => value === null ? key : `${key} = ${written(value)}`)]
            .join("; ")
        ).join(comma);
        assertEquals(parseExtensions([text]), extensions);
      },
    ),
  );
  const pieces = fc.constantFrom(
    "permessage-deflate",
    ";",
    ",",
    "=",
    '"',
    "\\",
    " ",
    "a",
    "\xff",
    "8",
    "client_max_window_bits",
  );
  fc.assert(fc.property(fc.array(fc.array(pieces, { maxLength: 12 }), { maxLength: 3 }), (values) => {
    const texts = values.map((parts) => parts.join(""));
    const parsed = parseExtensions(texts);
    assertEquals(parsed === null || Array.isArray(parsed), true);
    agree(texts, texts.toReversed());
  }));
});
