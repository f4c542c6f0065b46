/** Flows that become a WebSocket: frames both ways, put together here by a hand of its own, or what are none. */
import { join } from "./bytes.ts";
import { ends, pauses, says, type Turn } from "./dialogue.ts";
import type { FlowPlan, Planner } from "./flow_plan.ts";
import { httpFlow, Places, TRANSPORTS } from "./http_workloads.ts";
import { head, requestHead } from "./messages.ts";
import type { Random } from "./random.ts";

/** What the messages of each side hold, in their order. */
export interface WebSocketPlan {
  readonly client: readonly Uint8Array[];
  readonly server: readonly Uint8Array[];
}

type Peer = "client" | "server";

const [CONTINUATION, TEXT, BINARY, CLOSE, PING] = [0, 1, 2, 8, 9] as const;
const SIZES = [0, 1, 125, 126, 3000, 65_535, 65_536, 100_000] as const;

/** Messages in frames, pings between them, a close frame from both; or, now and then, octets that are no frames. */
export function webSocket(planner: Planner): FlowPlan {
  const { random } = planner;
  const transport = random.pick(TRANSPORTS);
  const places = new Places(planner, transport, 1);
  const asks = requestHead("GET", places.next(), "HTTP/1.1", [
    ["Connection", "Upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="],
    ["Sec-WebSocket-Version", "13"],
  ], random);
  const switches = head("HTTP/1.1 101 Switching Protocols", [
    ["Connection", "upgrade"],
    ["Upgrade", "websocket"],
    ["Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
  ]);
  const messages = { client: [] as Uint8Array[], server: [] as Uint8Array[] };
  const turns: Turn[] = [says("client", asks.bytes, 0, asks.arrives), says("server", switches)];
  for (let count = random.between(0, 8); count > 0; count--) {
    const by = random.pick<Peer>(["client", "server"]);
    const content = random.bytes(random.pick(SIZES));
    messages[by].push(content);
    turns.push(says(by, framed(by, content, random)));
    if (random.chance(0.2)) turns.push(pauses(by, random.between(1, 1500)));
  }
  const garbled = random.chance(0.2);
  const first = random.pick<Peer>(["client", "server"]);
  const second: Peer = first === "client" ? "server" : "client";
  if (garbled) turns.push(says(first, random.bytes(random.pick([1, 100, 5000]))));
  else {
    const payload = random.chance(0.5) ? new Uint8Array([0x03, 0xe8]) : new Uint8Array(0);
    for (const by of [first, second] as const) turns.push(says(by, frame(by, CLOSE, payload, random)));
  }
  return {
    ...httpFlow(planner, places, {
      name: `${garbled ? "garbled " : ""}WebSocket over ${transport}`,
      turns: [...turns, ends(first), ends(second)],
      exchanges: [],
      farewell: "ends",
      reasons: ["complete"],
    }),
    webSocket: messages,
  };
}

/** A message in one frame or in several, with a ping between them here and there. */
function framed(by: Peer, content: Uint8Array, random: Random): Uint8Array {
  const frames: Uint8Array[] = [];
  // Chance makes no UTF-8, so only what is empty is text.
  let opcode: number = content.length === 0 && random.chance(0.5) ? TEXT : BINARY;
  let start = 0;
  for (let pieces = random.between(1, 4); pieces > 1; pieces--) {
    const end = random.between(start, content.length);
    frames.push(frame(by, opcode, content.subarray(start, end), random, false));
    if (random.chance(0.3)) frames.push(frame(by, PING, random.bytes(random.between(0, 125)), random));
    opcode = CONTINUATION;
    start = end;
  }
  frames.push(frame(by, opcode, content.subarray(start), random));
  return join(...frames);
}

function frame(by: Peer, opcode: number, payload: Uint8Array, random: Random, fin = true): Uint8Array {
  const { length } = payload;
  const masks = by === "client" ? 0x80 : 0;
  const size = length < 126
    ? [masks | length]
    : length < 65_536
    ? [masks | 126, length >> 8, length & 0xff]
    : [masks | 127, 0, 0, 0, 0, length >>> 24, length >> 16 & 0xff, length >> 8 & 0xff, length & 0xff];
  const start = new Uint8Array([(fin ? 0x80 : 0) | opcode, ...size]);
  if (masks === 0) return join(start, payload);
  const key = random.bytes(4);
  return join(start, key, payload.map((octet, index) => octet ^ key[index % 4]!));
}
