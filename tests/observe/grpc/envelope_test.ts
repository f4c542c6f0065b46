import { joinBytes } from "../../../src/core/bytes.ts";
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { type EnvelopeHandler, EnvelopeReader } from "../../../src/observe/grpc/envelope.ts";
import { cutInto } from "../../support/golden.ts";
import { envelope } from "./envelopes.ts";

class Collected implements EnvelopeHandler {
  readonly messages: { flags: number; declared: number; bytes: number[]; whole: boolean }[] = [];
  constructor(private readonly stopAt = "") {}

  begin(flags: number, declared: number): boolean {
    this.messages.push({ flags, declared, bytes: [], whole: false });
    return this.stopAt !== "begin";
  }

  part(bytes: Uint8Array): boolean {
    assertEquals(bytes.length > 0, true, "no part is empty");
    this.messages.at(-1)!.bytes.push(...bytes);
    return this.stopAt !== "part";
  }

  whole(): boolean {
    this.messages.at(-1)!.whole = true;
    return this.stopAt !== "whole";
  }
}

Deno.test("EnvelopeReader gives every message in any cut, and none beside", () => {
  const message = fc.record({ flags: fc.nat(255), bytes: fc.uint8Array({ maxLength: 40 }) });
  fc.assert(fc.property(fc.array(message), fc.integer({ min: 1, max: 20 }), (messages, size) => {
    const collected = new Collected();
    const reader = new EnvelopeReader(collected);
    const content = joinBytes(messages.map(({ flags, bytes }) => envelope(flags, bytes)));
    for (const read of cutInto(content, size)) reader.push(read);
    assertEquals(
      collected.messages,
      messages.map(({ flags, bytes }) => ({
        flags,
        declared: bytes.length,
        bytes: [...bytes],
        whole: true,
      })),
    );
    assertEquals(reader.within, "nothing");
  }));
});

Deno.test("EnvelopeReader says where its content ends", () => {
  const reader = new EnvelopeReader(new Collected());
  const seen = [...envelope(0, Uint8Array.of(1, 2))].map((octet) => {
    reader.push(Uint8Array.of(octet));
    return [reader.within, reader.prefixBytes];
  });
  const prefix = [1, 2, 3, 4].map((bytes) => ["prefix", bytes]);
  assertEquals(seen, [...prefix, ["message", 5], ["message", 5], ["nothing", 0]]);
});

Deno.test("EnvelopeReader reads a length as it is meant, up to the highest bit", () => {
  const collected = new Collected();
  new EnvelopeReader(collected).push(Uint8Array.of(0, 0xff, 0xff, 0xff, 0xff, 7));
  assertEquals(collected.messages[0], { flags: 0, declared: 2 ** 32 - 1, bytes: [7], whole: false });
});

Deno.test("EnvelopeReader stops where its handler wants no more, also within a read", () => {
  for (const [stopAt, whole] of [["begin", false], ["part", false], ["whole", true]] as const) {
    const collected = new Collected(stopAt);
    const reader = new EnvelopeReader(collected);
    reader.push(joinBytes([envelope(0, Uint8Array.of(1)), envelope(0, Uint8Array.of(2))]));
    reader.push(envelope(0, Uint8Array.of(3)));
    assertEquals(collected.messages.map((message) => message.whole), [whole], stopAt);
  }
});
