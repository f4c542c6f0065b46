import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import { decodePem, encodePem, MAX_PEM_LENGTH } from "../../src/tls/pem.ts";

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
  assertEquals(decodePem("-----BEGIN A-----\nAAAA\n-----END A-----\n-----BEGIN b-----\n"), null);
  assertEquals(decodePem("no block at all"), []);
});

Deno.test("decodePem reads a mebibyte, and not one character more", () => {
  const block = encodePem("A", new Uint8Array(3));
  assertEquals(decodePem(block + " ".repeat(MAX_PEM_LENGTH - block.length))?.length, 1);
  assertEquals(decodePem(block + " ".repeat(MAX_PEM_LENGTH + 1 - block.length)), null);
});

Deno.test("decodePem takes a time in proportion to the text, however it is filled", () => {
  for (
    const filling of [
      "-----BEGIN A-----\n",
      "-----BEGIN ",
      "-----END A-----\n\n",
      "\n",
      " ",
      "A",
      "a ",
      "a: b\n",
    ]
  ) {
    const text = filling.repeat(Math.floor(MAX_PEM_LENGTH / filling.length) - 100);
    const startMs = performance.now();
    decodePem(text);
    decodePem(`-----BEGIN A-----\n${text}\n-----END A-----`);
    decodePem(`-----BEGIN A-----\nProc-Type: 4,ENCRYPTED\n${text}\n\nAAAA\n-----END A-----`);
    const tookMs = performance.now() - startMs;
    // A tenth of a second on a machine at rest; what rescans takes half a minute.
    assert(tookMs < 10_000, `${JSON.stringify(filling)} took ${tookMs} ms`);
  }
});

Deno.test("decodePem knows a key that was encrypted the old way by its headers, and leaves them out", () => {
  const text =
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-CBC,F8143EDE5960C597\n\n" +
    "AAAA\n-----END RSA PRIVATE KEY-----\n";
  const der = new Uint8Array(3);
  const bare = encodePem("RSA PRIVATE KEY", der);
  assertEquals(decodePem(text), [{ label: "RSA PRIVATE KEY", text: bare, encrypted: true, der }]);
  assertEquals(decodePem(bare), [{ label: "RSA PRIVATE KEY", text: bare, encrypted: false, der }]);
  assertEquals(decodePem(text.replace("Proc-Type", "Comment")), null);
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
