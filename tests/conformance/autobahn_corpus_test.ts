/**
 * The cases of the Autobahn test suite as one side of a WebSocket would send them, from a client and from a
 * server, past the observer. What an endpoint should accept must be told without fault, and what it should fail
 * the connection for must be told as that, after the same messages. Differences would be listed in
 * `fixtures/expected.jsonl`.
 */
import { joinBytes } from "../../src/core/bytes.ts";
import { assertEquals } from "@std/assert";
import type { FlowEvent } from "../../src/core/event.ts";
import type { Side } from "../../src/core/side.ts";
import { Utf8Checker } from "../../src/observe/websocket/utf8_checker.ts";
import { cutInto } from "../support/golden.ts";
import { readCorpus, unlisted } from "../support/corpora.ts";
import { encodeFrame } from "../observe/websocket/frames.ts";
import { observeWebSocket, type Step } from "../observe/websocket/observed.ts";

interface FrameStep {
  op?: number;
  fin?: boolean;
  rsv?: number;
  payload_hex?: string;
  payload_len?: number;
  repeat_hex?: string;
  /** So many more frames like the one before. */
  elided?: number;
  /** A frame whose payload follows in pieces. */
  begin_frame?: { op: number; fin: boolean; len: number };
  raw_payload_hex?: string;
  /** An empty continuation that ends the message. */
  end_message?: string;
  pause_s?: number;
  then?: string;
}

interface CorpusRow {
  id: string;
  steps: FrameStep[];
  expected: {
    outcomes: { OK?: [string, string, boolean][] };
    close: { closedByMe: boolean; closeCode: number[]; requireClean: boolean };
  };
  client_wire_hex?: string;
  server_wire_hex?: string;
}

/** What a reader of the case should see. */
interface Verdict {
  /** Payloads of the messages before anything is wrong; long ones as their length. */
  readonly messages: readonly string[];
  readonly wrong: "nothing" | "protocol" | "utf8" | "not said";
}

Deno.test("WebSocket tells the cases of Autobahn as an endpoint should take them, from either side, in any cut", () => {
  const rows = readCorpus<CorpusRow>("autobahn");
  if (rows === null) {
    console.log("skipped: autobahn is not in ../shared/corpora");
    return;
  }
  const differences: { id: string; ours: string }[] = [];
  for (const row of rows) {
    for (const side of ["client", "server"] as const) {
      const bytes = wireOf(row.steps, side);
      const given = side === "client" ? row.client_wire_hex : row.server_wire_hex;
      if (given !== undefined) {
        assertEquals(bytes.toHex(), given, `${row.id}: the frames are those of the suite`);
      }
      const ours = verdictOf(tell([bytes], side));
      const sizes = bytes.length > 10_000 ? [4099] : [1, 2, 7, 100];
      for (const size of sizes) {
        assertEquals(verdictOf(tell(cutInto(bytes, size), side)), ours, `${row.id} by ${size}`);
      }
      const theirs = expectedOf(row);
      const same = JSON.stringify(ours.messages) === JSON.stringify(theirs.messages) &&
        (theirs.wrong === "not said" || ours.wrong === theirs.wrong);
      if (!same) {
        differences.push({ id: `${row.id} ${side}`, ours: `${ours.wrong} ${ours.messages.length}` });
      }
    }
  }
  assertEquals(unlisted("autobahn", differences), []);
  console.log(`autobahn: ${2 * rows.length - differences.length} of ${2 * rows.length} cases agree`);
});

Deno.test("Utf8Checker agrees with Autobahn's sequences of UTF-8, whole and octet by octet", () => {
  const rows = readCorpus<{ id: string; input_hex: string; expected: { valid: boolean } }>(
    "autobahn",
    "utf8.jsonl",
  );
  if (rows === null) {
    console.log("skipped: autobahn is not in ../shared/corpora");
    return;
  }
  const differences: { id: string; ours: string }[] = [];
  for (const { id, input_hex, expected } of rows) {
    const bytes = Uint8Array.fromHex(input_hex);
    for (const size of [1, bytes.length + 1]) {
      const checker = new Utf8Checker();
      for (const read of cutInto(bytes, size)) checker.push(read);
      const valid = checker.end();
      if (valid !== expected.valid) differences.push({ id, ours: `valid ${valid}` });
    }
  }
  assertEquals(unlisted("autobahn-utf8", differences), []);
  console.log(`autobahn utf8: ${rows.length - differences.length} of ${rows.length} sequences agree`);
});

function tell(reads: readonly Uint8Array[], side: Side): readonly FlowEvent[] {
  return observeWebSocket(reads.map((bytes): Step => ({ type: "received", side, bytes }))).events;
}

function verdictOf(events: readonly FlowEvent[]): Verdict {
  const messages: string[] = [];
  for (const { kind, attributes } of events) {
    const violation = attributes["violation"];
    const close = attributes["opcode"] === "close";
    if (kind === "decoder_failed") return { messages, wrong: "protocol" };
    if (violation === "invalid_utf8") return { messages, wrong: "utf8" };
    // An endpoint takes nothing that follows a close frame, so it cannot mind it either.
    if (violation === "frame_after_close") break;
    if (violation !== undefined) return { messages, wrong: "protocol" };
    if (kind === "ws_message" && attributes["complete"] !== false) {
      const bytes = Number(attributes["bytes"]);
      const { data, data_base64: base64 } = attributes;
      const content = data === undefined
        ? Uint8Array.fromBase64(String(base64))
        : new TextEncoder().encode(String(data));
      messages.push(shown(content, bytes));
    }
    if (close) break;
  }
  return { messages, wrong: "nothing" };
}

function expectedOf({ steps, expected: { outcomes, close } }: CorpusRow): Verdict {
  const [first] = close.closeCode;
  const wrong = close.closeCode.length > 1 && first === 1000 && !close.requireClean
    ? "not said"
    : first === 1007 || close.closeCode.includes(1007) && !close.requireClean
    ? "utf8"
    : first === 1002
    ? "protocol"
    : "nothing";
  // The longest cases say only that what was sent comes back.
  const messages = outcomes.OK === undefined
    ? messagesOf(steps)
    : outcomes.OK.filter(([what]) => what === "message").map(([, hex]) => {
      const content = Uint8Array.fromHex(hex);
      return shown(content, content.length);
    });
  return { messages, wrong };
}

function messagesOf(steps: readonly FrameStep[]): string[] {
  const messages: string[] = [];
  let parts: Uint8Array[] = [];
  let bytes = 0;
  let last: FrameStep | null = null;
  for (const step of steps) {
    for (let time = 0; time < (step.elided ?? 1); time++) {
      const frame: FrameStep | null = step.elided === undefined ? step : last;
      if (frame?.op === undefined || frame.op >= 8) continue;
      const payload = payloadOf(frame);
      if (bytes < 100) parts.push(payload);
      bytes += payload.length;
      if (frame.fin !== true) continue;
      messages.push(shown(new Uint8Array(parts.flatMap((part) => [...part.subarray(0, 100)])), bytes));
      parts = [];
      bytes = 0;
    }
    last = step;
  }
  return messages;
}

function shown(content: Uint8Array, bytes: number): string {
  return bytes > 100 ? `${bytes} octets from ${content.subarray(0, 20).toHex()}` : content.toHex();
}

function wireOf(steps: readonly FrameStep[], side: Side): Uint8Array {
  const mask = side === "client";
  const frames: Uint8Array[] = [];
  for (const [index, step] of steps.entries()) {
    if (step.op !== undefined) {
      const { op: opcode, fin = true, rsv = 0 } = step;
      frames.push(encodeFrame({ opcode, fin, rsv, mask, payload: payloadOf(step) }));
    } else if (step.elided !== undefined) {
      const again = frames.at(-1)!;
      for (let time = 0; time < step.elided; time++) frames.push(again);
    } else if (step.begin_frame !== undefined) {
      const payload = steps.slice(index).map(({ raw_payload_hex: hex = "" }) => hex).join("");
      const { op: opcode, fin } = step.begin_frame;
      frames.push(encodeFrame({ opcode, fin, mask, payload: Uint8Array.fromHex(payload) }));
    } else if (step.end_message !== undefined) {
      frames.push(encodeFrame({ opcode: 0, mask }));
    }
  }
  return joinBytes(frames);
}

function payloadOf({ payload_hex, payload_len, repeat_hex }: FrameStep): Uint8Array {
  if (payload_hex !== undefined) return Uint8Array.fromHex(payload_hex);
  const part = Uint8Array.fromHex(repeat_hex ?? "00");
  const payload = new Uint8Array(payload_len ?? 0);
  payload.set(part.subarray(0, payload.length));
  for (let filled = part.length; filled < payload.length; filled *= 2) payload.copyWithin(filled, 0, filled);
  return payload;
}
