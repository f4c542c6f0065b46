import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { MULTIPART, PART_FIELDS_MAX, PART_HEADER_BYTES_MAX } from "../../src/observe/multipart.ts";
import { cutInto } from "../support/golden.ts";
import { LIMITS, observe } from "./observed.ts";

const encoder = new TextEncoder();

function parts(content: string | Uint8Array, boundary: string, size = content.length) {
  const octets = typeof content === "string" ? encoder.encode(content) : content;
  const { events, heldBytes, heldBytesMax } = observe(cutInto(octets, size), {
    fields: [["content-type", `multipart/form-data; boundary="${boundary}"`]],
    observers: [MULTIPART],
  });
  assertEquals([heldBytes, heldBytesMax < LIMITS.captureBytes], [0, true]);
  return events.filter(({ kind }) => kind === "multipart_part").map(({ attributes }) => attributes);
}

Deno.test("MULTIPART tells of each part what a writer has put there, whatever is in it, in any cut", () => {
  const piece = fc.constantFrom(
    "\r",
    "\n",
    "\r\n",
    "-",
    "--",
    "--b",
    "\r\n--b",
    "\r\n--",
    "b",
    "x",
    "\r\n--bx",
  );
  const part = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(""));
  // What would be a delimiter itself, or with the octets behind it, is no content.
  const content = part.filter((text) => !/(^|\r\n)--b[ \t]*(\r\n|\r$|$|-$|--)/.test(text));
  fc.assert(
    fc.property(
      fc.array(content, { minLength: 1, maxLength: 4 }),
      fc.integer({ min: 1, max: 9 }),
      (contents, size) => {
        const body = contents.map((text, index) => `--b\r\nN: ${index}\r\n\r\n${text}\r\n`).join("") +
          "--b--";
        const told = parts(body, "b", size);
        assertEquals(
          told.map(({ bytes }) => bytes),
          contents.map((text) => text.length),
          JSON.stringify(body),
        );
        assertEquals(told.map(({ headers }) => headers), contents.map((_, index) => [["N", String(index)]]));
      },
    ),
    { numRuns: 500 },
  );
});

Deno.test("MULTIPART takes boundaries of RFC 2046, and leaves others alone", () => {
  for (const boundary of ["a", "a b", "'()+_,./:=?-", "x".repeat(70)]) {
    assertEquals(parts(`--${boundary}\r\n\r\n1\r\n--${boundary}--`, boundary).length, 1, boundary);
  }
  for (const boundary of ["", "a ", "x".repeat(71), "a*b", "é"]) {
    assertEquals(parts(`--${boundary}\r\n\r\n1\r\n--${boundary}--`, boundary).length, 0, boundary);
  }
});

Deno.test("MULTIPART reads a header up to its limits, and not one more", () => {
  const withFields = (count: number) => parts(`--b\r\n${"A: 1\r\n".repeat(count)}\r\n--b--`, "b")[0]!;
  assertEquals([withFields(PART_FIELDS_MAX)["truncated"], withFields(PART_FIELDS_MAX + 1)["truncated"]], [
    undefined,
    true,
  ]);
  const withBytes = (count: number) => parts(`--b\r\nA: ${"x".repeat(count - 7)}\r\n\r\n1\r\n--b--`, "b")[0]!;
  assertEquals(withBytes(PART_HEADER_BYTES_MAX)["truncated"], undefined);
  assertEquals(withBytes(PART_HEADER_BYTES_MAX + 1)["truncated"], true);
});

Deno.test("MULTIPART needs no more room for a part without end", () => {
  const held = (reads: number) =>
    observe([
      encoder.encode("--b\r\nA: 1\r\n\r\n"),
      ...Array<Uint8Array>(reads).fill(new Uint8Array(10_000).fill(13)),
    ], {
      fields: [["content-type", "multipart/mixed; boundary=b"]],
      observers: [MULTIPART],
      keep: () => false,
    }).heldBytesMax;
  assertEquals(held(500), held(1));
});
