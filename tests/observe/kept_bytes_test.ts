import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { KeptBytes } from "../../src/observe/kept_bytes.ts";
import { cutInto } from "../support/golden.ts";

/** A budget that says how much is held. */
function budget(max = Infinity) {
  return {
    held: 0,
    hold(bytes: number): boolean {
      if (this.held + bytes > max) return false;
      this.held += bytes;
      return true;
    },
    release(bytes: number): void {
      this.held -= bytes;
    },
  };
}

Deno.test("KeptBytes keeps the first octets, holds as much for any cut, and gives all back", () => {
  const bytes = fc.uint8Array({ maxLength: 2000 });
  fc.assert(
    fc.property(bytes, fc.nat(1500), fc.integer({ min: 1, max: 700 }), (bytes, bytesMax, size) => {
      const holder = budget();
      const kept = new KeptBytes(holder, bytesMax);
      let all = 0;
      for (const part of cutInto(bytes, size)) {
        assert(kept.reserve(all += part.length));
        kept.keep(part);
      }
      assertEquals(kept.view, bytes.subarray(0, bytesMax));
      const uncut = budget();
      new KeptBytes(uncut, bytesMax).reserve(bytes.length);
      assertEquals(holder.held, uncut.held);
      assert(holder.held <= Math.max(256, 2 * bytes.length) && holder.held <= bytesMax);
      kept.clear();
      assertEquals([holder.held, kept.length, kept.view.length], [0, 0, 0]);
    }),
  );
});

Deno.test("KeptBytes is refused what the budget has not, and what it had stays held", () => {
  const holder = budget(600);
  const kept = new KeptBytes(holder, 10_000);
  assertEquals([kept.reserve(256), kept.reserve(512), kept.reserve(513)], [true, true, false]);
  assertEquals(holder.held, 512);
});

Deno.test("KeptBytes keeps its room for what comes next where it is only reset", () => {
  const holder = budget();
  const kept = new KeptBytes(holder, 10_000);
  assert(kept.reserve(300));
  kept.keep(new Uint8Array(300).fill(1));
  kept.reset();
  assertEquals([kept.length, holder.held], [0, 512]);
  kept.keep(Uint8Array.of(2));
  assertEquals(kept.view, Uint8Array.of(2));
});

Deno.test("KeptBytes that use each other's buffers never see each other's octets", () => {
  const free = { hold: () => true, release: () => {} };
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          which: fc.nat(2),
          what: fc.constantFrom("keep", "keep", "keep", "reset", "clear"),
          part: fc.uint8Array({ maxLength: 700 }),
        }),
        { maxLength: 30 },
      ),
      (steps) => {
        const kept = [0, 1, 2].map(() => ({
          bytes: new KeptBytes(free, 2_000),
          expected: new Uint8Array(0),
        }));
        for (const { which, what, part } of steps) {
          const one = kept[which]!;
          if (what === "keep") {
            one.bytes.keep(part);
            one.expected = Uint8Array.from([...one.expected, ...part]).subarray(0, 2_000);
          } else {
            one.bytes[what as "reset" | "clear"]();
            one.expected = new Uint8Array(0);
          }
          for (const { bytes, expected } of kept) assertEquals(bytes.view, expected);
        }
        for (const { bytes } of kept) bytes.clear();
      },
    ),
  );
});
