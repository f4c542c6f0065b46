import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import { decodePem, encodePem } from "../../src/tls/pem.ts";

Deno.test("encodePem writes lines of 64 characters between its labels", () => {
  const lines = encodePem("TEST", new Uint8Array(100).fill(255)).split("\n");
  assertEquals(lines[0], "-----BEGIN TEST-----");
  assertEquals(lines.slice(1, -2).map((line) => line.length), [64, 64, 8]);
  assertEquals(lines.slice(-2), ["-----END TEST-----", ""]);
});

Deno.test("decodePem gives back what encodePem wrote, among text and with CRLF line ends", () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 4 }), (contents) => {
    const text = contents.map((der) => `explanation: of a block\n${encodePem("X Y", der)}`).join("\n");
    for (const written of [text, text.replaceAll("\n", "\r\n")]) {
      const blocks = decodePem(written);
      assert(blocks !== null, "it is read");
      assertEquals(blocks.map(({ der }) => der), contents);
      assertEquals(blocks.map(({ text }) => text), contents.map((der) => encodePem("X Y", der)));
    }
  }));
});

Deno.test("decodePem takes a block as long as a large file without complaint", () => {
  const der = new Uint8Array(200_000).fill(1);
  assertEquals(decodePem(encodePem("BIG", der))?.[0]?.der.length, der.length);
});

Deno.test("decodePem refuses blocks that do not end, end as another or are no base64", () => {
  assertEquals(decodePem("-----BEGIN A-----\nAAAA\n"), null);
  assertEquals(decodePem("-----BEGIN A-----\nAAAA\n-----END B-----\n"), null);
  assertEquals(decodePem("-----BEGIN A-----\nA*AA\n-----END A-----\n"), null);
  assertEquals(decodePem("-----BEGIN A-----\nAAAA\n-----BEGIN A-----\n-----END A-----\n"), null);
  assertEquals(decodePem("no block at all"), []);
});

Deno.test("decodePem keeps the headers of an old encrypted key in the text alone", () => {
  const text =
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----\n";
  const blocks = decodePem(text);
  assertEquals(blocks?.[0]?.text, text);
  assertEquals(blocks?.[0]?.der, new Uint8Array(3));
});

Deno.test("decodePem never throws", () => {
  const piece = fc.constantFrom(
    "-----BEGIN A-----",
    "-----END A-----",
    "\n",
    "AAAA",
    "=",
    "-----",
    ":",
    "\r",
    "\0",
  );
  fc.assert(fc.property(fc.array(fc.oneof(piece, fc.string()), { maxLength: 20 }), (pieces) => {
    decodePem(pieces.join(""));
  }));
});
