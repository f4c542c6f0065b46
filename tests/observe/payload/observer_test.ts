import { assertEquals } from "@std/assert";
import { createHash } from "node:crypto";
import type { ObserverDefinition } from "../../../src/observe/observer.ts";
import { OBSERVERS } from "../../../src/observe/registry.ts";
import { DIGEST_BYTES_MAX, PAYLOAD } from "../../../src/observe/payload/observer.ts";
import { LIMITS, observe } from "../observed.ts";

const BINARY = ["content-type", "image/png"] as const;

/** `payload_decoded` of a binary message of this length. */
function binary(length: number, fields: readonly (readonly [string, string])[] = []) {
  const reads: Uint8Array[] = [];
  for (let left = length; left > 0; left -= 65_536) {
    reads.push(new Uint8Array(Math.min(left, 65_536)).fill(7));
  }
  const { events, heldBytesMax } = observe(reads, {
    fields: [BINARY, ...fields],
    observers: [PAYLOAD],
    keep: ({ kind }) => kind === "payload_decoded",
  });
  return { attributes: events[0]!.attributes, heldBytesMax };
}

Deno.test("PAYLOAD tells the SHA-256 of what is binary up to its limit, and keeps nothing of it", () => {
  const exact = binary(DIGEST_BYTES_MAX);
  const digest = createHash("sha256").update(new Uint8Array(DIGEST_BYTES_MAX).fill(7)).digest("hex");
  assertEquals([exact.attributes["sha256"], exact.heldBytesMax], [digest, 0]);
  const over = binary(DIGEST_BYTES_MAX + 1);
  assertEquals([over.attributes["sha256"], over.attributes["bytes"]], [undefined, DIGEST_BYTES_MAX + 1]);
  const declared = binary(10, [["content-length", String(DIGEST_BYTES_MAX + 1)]]);
  assertEquals(declared.attributes["sha256"], undefined, "what is declared too long is not begun");
});

Deno.test("PAYLOAD keeps no more of an endless message than it reads, and lets go of what is longer", () => {
  const read = new Uint8Array(10_000).fill(0x20);
  const held = (reads: number) =>
    observe(Array<Uint8Array>(reads).fill(read), {
      fields: [["content-type", "application/json"]],
      keep: () => false,
    });
  assertEquals([held(1).heldBytesMax, held(1).heldBytes], [LIMITS.payloadBytes, 0]);
  assertEquals([held(1_000).heldBytesMax, held(1_000).heldBytes], [LIMITS.payloadBytes, 0]);
});

Deno.test("PAYLOAD is asked after all others: it would take their messages", () => {
  assertEquals(OBSERVERS.at(-1), PAYLOAD);
  for (const { example, name } of OBSERVERS) {
    const eventsOf = (observers: readonly ObserverDefinition[]) =>
      observe([new TextEncoder().encode(example.content)], {
        fields: [["content-type", example.mediaType]],
        target: "/a.B/C",
        observers,
      }).events;
    const own = OBSERVERS.filter((observer) => observer.name === name);
    assertEquals(eventsOf(OBSERVERS), eventsOf(own), name);
  }
});

Deno.test("PAYLOAD writes the value of text once: in the body events where they hold all of it, else itself", () => {
  const value = (type: string, content: string, captureBytes = LIMITS.captureBytes) => {
    const { events } = observe([new TextEncoder().encode(content)], {
      fields: [["content-type", type]],
      observers: [PAYLOAD],
      limits: { captureBytes },
      keep: ({ kind }) => kind === "payload_decoded",
    });
    const { attributes } = events[0]!;
    return attributes["value"] ?? (attributes["value_omitted"] === true ? "omitted" : "missing");
  };
  assertEquals(value("text/plain", "hé"), "omitted");
  assertEquals(value("text/plain; charset=UTF-8", "hé", 3), "omitted");
  assertEquals(value("text/plain", "hé", 2), "hé");
  assertEquals(value("text/plain; charset=iso-8859-1", "ab"), "ab");
  assertEquals(value("text/plain", "\ufeffab"), "ab");
  assertEquals(value("application/json", "[1]"), [1]);
});
