import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { MessageInflater } from "../../../src/observe/websocket/message_inflater.ts";
import { INFLATERS } from "../../../src/runtime/inflate.ts";
import { cutInto } from "../../support/golden.ts";
import { LIMITS } from "../observed.ts";
import { deflateMessage } from "./frames.ts";

interface Inflated {
  readonly began: boolean;
  readonly content: string;
  readonly error: string | null;
}

function inflate(
  messages: readonly (readonly Uint8Array[])[],
  { takeover = true, limits = {} }: { takeover?: boolean; limits?: Partial<typeof LIMITS> } = {},
): Inflated[] {
  const inflater = new MessageInflater(INFLATERS, { ...LIMITS, ...limits }, takeover);
  const inflated: Inflated[] = [];
  for (const reads of messages) {
    const began = inflater.begin();
    const parts: number[] = [];
    const deliver = (bytes: Uint8Array) => void parts.push(...bytes);
    if (began) {
      for (const read of reads) inflater.push(read, deliver);
      inflater.end(deliver);
    }
    const content = new TextDecoder("latin1").decode(Uint8Array.from(parts));
    inflated.push({ began, content, error: inflater.error });
  }
  inflater.stop();
  return inflated;
}

const latin1 = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0));

Deno.test("MessageInflater gives each message of a sequence, with and without looking back, in any reads", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: fc.constantFrom("a", "b", "ab ", "x") }), { maxLength: 5 }),
      fc.boolean(),
      fc.integer({ min: 1, max: 9 }),
      (texts, takeover, size) => {
        let before = new Uint8Array(0);
        const messages = texts.map((text) => {
          const coded = deflateMessage(latin1(text), takeover ? before : undefined);
          before = new Uint8Array([...before, ...latin1(text)]);
          return cutInto(coded, size);
        });
        assertEquals(inflate(messages, { takeover }).map(({ content }) => content), texts);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("MessageInflater stops at the size and at the ratio, at the same octet for any reads", () => {
  const coded = deflateMessage(new Uint8Array(1_000_000).fill(97));
  for (const size of [1, 100, 4096, coded.length]) {
    const [byRatio] = inflate([cutInto(coded, size)]);
    assertEquals(byRatio!.content.length, 64 * 1024);
    assertEquals(byRatio!.error?.includes("limits.inflate_ratio"), true);
    const [bySize] = inflate([cutInto(coded, size)], { limits: { inflateBytes: 1000, inflateRatio: 9999 } });
    assertEquals(bySize!.content.length, 1000);
    assertEquals(bySize!.error?.includes("limits.inflate_bytes"), true);
    const [whole] = inflate([cutInto(coded, size)], {
      limits: { inflateBytes: 1_000_000, inflateRatio: 9999 },
    });
    assertEquals([whole!.content.length, whole!.error], [1_000_000, null]);
  }
});

Deno.test("MessageInflater goes on after a broken message only where nothing looks back into it", () => {
  const messages = [[latin1("\xff\xff")], [deflateMessage(latin1("next"))]];
  assertEquals(inflate(messages, { takeover: false })[1], { began: true, content: "next", error: null });
  assertEquals(inflate(messages)[1]?.began, false);
});

Deno.test("MessageInflater takes a few final blocks in one message, and no flood of them", () => {
  // An empty final block of fixed codes, again and again (RFC 1951 §3.2.3).
  const finals = (count: number) => latin1("\x03\x00".repeat(count));
  assertEquals(inflate([[finals(8)]])[0]?.error, null);
  assertEquals(
    inflate([[finals(9)]])[0]?.error,
    "permessage-deflate: more than 8 final blocks in one message",
  );
});
