import { assertEquals } from "@std/assert";
import { MessageReader } from "../../../src/observe/websocket/message_reader.ts";
import { LIMITS } from "../observed.ts";
import { encodeFrame } from "./frames.ts";

/** A reader of what a server sends, and what it tells. */
function reader(room: number, captureBytes = 64 * 1024) {
  const told: string[] = [];
  let held = 0;
  const made = new MessageReader({
    side: "server",
    context: {
      now: 0,
      limits: { ...LIMITS, captureBytes },
      hold: (bytes) => {
        if (held + bytes > room) {
          made.stop();
          return false;
        }
        held += bytes;
        return true;
      },
      release: (bytes) => held -= bytes,
    },
    inflater: null,
    inflaterHeldBytes: 0,
    foreignReserved: 0,
    sink: {
      dataFrameBegan: () => told.push("began"),
      dataPassed: () => {},
      dataComes: () => {},
      message: ({ opcode, bytes, data, truncated, complete }) =>
        told.push(`${opcode} ${bytes} ${data?.length} ${truncated} ${complete}`),
      control: ({ opcode, violation }) => told.push(`${opcode} ${violation}`),
      failed: (stage, reason) => told.push(`${stage} ${reason}`),
    },
  });
  return { made, told, held: () => held };
}

Deno.test("MessageReader keeps no more of a message than is captured, and reserves that first", () => {
  const { made, told, held } = reader(4096, 1000);
  made.push(encodeFrame({ opcode: 1, payload: new Uint8Array(100_000).fill(97) }));
  made.push(encodeFrame({ opcode: 2, fin: false, payload: new Uint8Array(600) }));
  made.push(encodeFrame({ opcode: 0, payload: new Uint8Array(600) }));
  assertEquals(held(), 1000);
  made.finish();
  made.finish();
  assertEquals(held(), 0);
  assertEquals(told, [
    "began",
    "text 100000 1000 true true",
    "began",
    "began",
    "binary 1200 1000 true true",
  ]);
});

Deno.test("MessageReader says nothing more once it has no room", () => {
  const { made, told } = reader(300);
  made.push(encodeFrame({ opcode: 1, payload: new Uint8Array(200) }));
  made.push(encodeFrame({ opcode: 1, payload: new Uint8Array(400) }));
  made.push(encodeFrame({ opcode: 1, payload: new Uint8Array(2) }));
  made.finish();
  assertEquals(told, ["began", "text 200 200 false true", "began"]);
});

Deno.test("MessageReader knows the close codes that may be sent", () => {
  const violation = (code: number) => {
    const { made, told } = reader(0);
    made.push(encodeFrame({ opcode: 8, payload: Uint8Array.of(code >> 8, code & 0xff) }));
    return told[0];
  };
  for (const code of [1000, 1003, 1007, 1011, 1014, 3000, 4999]) assertEquals(violation(code), "close null");
  for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535]) {
    assertEquals(violation(code), "close invalid_close_code", String(code));
  }
});
