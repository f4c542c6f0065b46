/**
 * Replays the fixtures of WebSockets. A `dialogue` block is a script, a step a line (each ended by `\n`):
 * `>` is the client's and `<` the server's, then flags, a kind of frame and its payload.
 *
 * Kinds: `text`, `binary`, `continuation`, `ping`, `pong`, `close CODE REASON`, `opcode-N`, `octets HEX` for
 * what is no frame, and `end`. Flags: `more` (not the last frame), `rsv-N`, `masked`, `unmasked`, `len16`,
 * `len64`, `deflate` (compressed alone) and `takeover` (looking back into this side's messages before).
 * A payload is text, or `x:HEX`, or `*N` for N letters. `@MS` lets time pass, `reset client` and the like end
 * it all. What a side says in lines that follow each other is cut into reads without regard to them.
 *
 * Options: `deflate` or `deflate=PARAMETERS` has the heads agree on it, `request=NAME:VALUE` and
 * `response=NAME:VALUE` change a field (an empty value takes it away; `%20` is a space), limits are named,
 * and `redact=` names a field.
 */
import { joinBytes } from "../../../src/core/bytes.ts";
import { opposite, type Side } from "../../../src/core/side.ts";
import type { FlowEvent } from "../../../src/core/event.ts";
import { cutInto, type GoldenInput, type GoldenRun, testGolden } from "../../support/golden.ts";
import { LIMITS } from "../observed.ts";
import { deflateMessage, encodeFrame } from "./frames.ts";
import {
  compressed,
  observeWebSocket,
  REQUEST_FIELDS,
  RESPONSE_FIELDS,
  type Step,
  withFields,
} from "./observed.ts";

const OPCODES: Readonly<Record<string, number>> = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
};

function run({ options }: GoldenInput, reads: readonly Uint8Array[]): GoldenRun {
  const size = Math.max(1, reads[0]?.length ?? 1);
  const script = new TextDecoder("latin1").decode(joinBytes(reads));
  const deflate = options.get("deflate");
  const heads = deflate === undefined ? {} : compressed(deflate === "true" ? "" : unspaced(deflate));
  const change = (side: "request" | "response"): [string, string | null][] => {
    const [, name, value] = /^([^:]+):(.*)$/.exec(unspaced(options.get(side) ?? "")) ?? [];
    return name === undefined ? [] : [[name, value === "" ? null : value!]];
  };
  const { events } = observeWebSocket(steps(script, size), {
    requestFields: withFields(heads.requestFields ?? REQUEST_FIELDS, ...change("request")),
    responseFields: withFields(heads.responseFields ?? RESPONSE_FIELDS, ...change("response")),
    redactHeaders: options.has("redact") ? [options.get("redact")!] : [],
    limits: Object.fromEntries(
      Object.keys(LIMITS).filter((name) => options.has(name))
        .map((name) => [name, Number(options.get(name))]),
    ),
  });
  return { trace: events.map(describe), rest: null };
}

function steps(script: string, size: number): Step[] {
  const said: Step[] = [];
  const before: Record<Side, Uint8Array> = { client: new Uint8Array(0), server: new Uint8Array(0) };
  let pending: { side: Side; bytes: Uint8Array } | null = null;
  const flush = () => {
    if (pending === null) return;
    const { side, bytes } = pending;
    for (const read of cutInto(bytes, size)) said.push({ type: "received", side, bytes: read });
    pending = null;
  };
  for (const line of script.split("\n").filter((line) => line !== "")) {
    const words = line.split(" ");
    if (line.startsWith("@")) {
      flush();
      said.push({ type: "waits", ms: Number(line.slice(1)) });
      continue;
    }
    if (words[0] === "reset") {
      flush();
      const by = words[1] as Side | "proxy";
      said.push({ type: "closed", end: { orderly: false, by } });
      continue;
    }
    const side: Side = words[0] === ">" ? "client" : "server";
    if (words[1] === "end") {
      flush();
      said.push({ type: "ended", side });
      continue;
    }
    const bytes = frameOf(words.slice(1), side, before);
    if (pending !== null && pending.side === opposite(side)) flush();
    pending = { side, bytes: joinBytes(pending === null ? [bytes] : [pending.bytes, bytes]) };
  }
  flush();
  return said;
}

function frameOf(words: string[], side: Side, before: Record<Side, Uint8Array>): Uint8Array {
  let fin = true;
  let rsv = 0;
  let mask = side === "client";
  let lengthBits: 16 | 64 | undefined;
  let deflated: "alone" | "takeover" | null = null;
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    if (word === "more") fin = false;
    else if (word.startsWith("rsv-")) rsv |= Number(word.slice(4));
    else if (word === "masked" || word === "unmasked") mask = word === "masked";
    else if (word === "len16" || word === "len64") lengthBits = word === "len16" ? 16 : 64;
    else if (word === "deflate" || word === "takeover") deflated = word === "deflate" ? "alone" : word;
    else if (word === "octets") return Uint8Array.fromHex(words.join(""));
    else {
      const opcode = word.startsWith("opcode-") ? Number(word.slice(7)) : OPCODES[word];
      if (opcode === undefined) throw new Error(`${word} is no kind of frame`);
      let payload = payloadOf(words, word === "close");
      if (deflated !== null) {
        rsv |= 4;
        const content = payload;
        payload = deflateMessage(content, deflated === "takeover" ? before[side] : undefined);
        before[side] = joinBytes([before[side], content]);
      }
      return encodeFrame({
        opcode,
        fin,
        rsv,
        mask,
        payload,
        ...(lengthBits === undefined ? {} : { lengthBits }),
      });
    }
  }
  throw new Error("a step without a kind of frame");
}

function payloadOf(words: string[], close: boolean): Uint8Array {
  const code = close && /^[0-9]+$/.test(words[0] ?? "") ? Number(words.shift()) : null;
  const rest = words.join(" ");
  const payload = rest.startsWith("x:")
    ? Uint8Array.fromHex(rest.slice(2))
    : /^\*[0-9]+$/.test(rest)
    ? new TextEncoder().encode("a".repeat(Number(rest.slice(1))))
    : Uint8Array.from(rest, (character) => character.charCodeAt(0));
  return code === null ? payload : joinBytes([Uint8Array.of(code >> 8, code & 0xff), payload]);
}

function describe({ kind, attributes }: FlowEvent): string {
  const { exchange_id: _id, ...said } = attributes;
  const sorted = Object.entries(said).sort(([a], [b]) => a < b ? -1 : 1);
  return [kind, ...sorted.map(([name, value]) => `${name}=${show(value)}`)].join(" ");
}

/** Long data as its length. */
function show(value: unknown): string {
  return typeof value === "string" && value.length > 130
    ? `(${value.length} characters)`
    : JSON.stringify(value);
}

function unspaced(text: string): string {
  return text.replaceAll("%20", " ");
}

testGolden("websocket", run);
