/** What the octets of an HTTP/2 connection say, stream by stream, read apart from the proxy's own reader. */
import { join } from "./bytes.ts";
import { HpackReader, type ReadField } from "./hpack_peer.ts";
import {
  END_HEADERS,
  fragmentOf,
  FrameCutter,
  HEADER_BYTES,
  PADDED,
  PREFACE,
  type RawFrame,
  readUint32,
  TYPE,
  unpadded,
} from "./http2_wire.ts";

export interface ReferenceStream {
  /** Field blocks in order; a promise is the request of the promised stream. */
  readonly requestBlocks: (readonly ReadField[])[];
  readonly responseBlocks: (readonly ReadField[])[];
  requestBody: Uint8Array;
  responseBody: Uint8Array;
}

/** Throws where compression is broken, which no peer of ours means to do. */
export function readConnection(
  fromClient: Uint8Array,
  fromServer: Uint8Array,
): ReadonlyMap<number, ReferenceStream> {
  const streams = new Map<number, ReferenceStream>();
  readDirection("client", fromClient.subarray(PREFACE.length), streams);
  readDirection("server", fromServer, streams);
  return streams;
}

function readDirection(
  by: "client" | "server",
  bytes: Uint8Array,
  streams: Map<number, ReferenceStream>,
): void {
  const hpack = new HpackReader();
  const bodies = new Map<number, Uint8Array[]>();
  let opening: RawFrame | null = null;
  let parts: Uint8Array[] = [];
  const streamOf = (id: number): ReferenceStream => {
    const known = streams.get(id);
    if (known !== undefined) return known;
    const stream: ReferenceStream = {
      requestBlocks: [],
      responseBlocks: [],
      requestBody: NOTHING,
      responseBody: NOTHING,
    };
    streams.set(id, stream);
    return stream;
  };
  const cutter = new FrameCutter();
  for (const heard of cutter.push(bytes)) {
    if (heard.type === TYPE.data) {
      streamOf(heard.streamId);
      const content = bodies.get(heard.streamId) ?? [];
      content.push(unpadded(heard) ?? NOTHING);
      bodies.set(heard.streamId, content);
      continue;
    }
    const part = fragmentOf(heard);
    if (part === null) continue;
    if (heard.type !== TYPE.continuation) opening = heard;
    parts.push(part);
    if ((heard.flags & END_HEADERS) === 0 || opening === null) continue;
    const fields = hpack.read(join(...parts));
    parts = [];
    if (opening.type === TYPE.push_promise) {
      streamOf(readUint32(unpadded(opening)!, 0)).requestBlocks.push(fields);
    } else if (by === "client") streamOf(opening.streamId).requestBlocks.push(fields);
    else streamOf(opening.streamId).responseBlocks.push(fields);
  }
  // What there is of a frame that is not whole is observed, too.
  const { rest } = cutter;
  if (rest.length > HEADER_BYTES && rest[3] === TYPE.data) {
    const id = readUint32(rest, 5);
    const end = HEADER_BYTES + (rest[0]! << 16 | rest[1]! << 8 | rest[2]!);
    const isPadded = (rest[4]! & PADDED) !== 0;
    const part = isPadded
      ? rest.subarray(HEADER_BYTES + 1, end - rest[HEADER_BYTES]!)
      : rest.subarray(HEADER_BYTES);
    bodies.set(id, [...bodies.get(id) ?? [], part]);
  }
  for (const [id, content] of bodies) {
    if (by === "client") streamOf(id).requestBody = join(...content);
    else streamOf(id).responseBody = join(...content);
  }
}

const NOTHING = new Uint8Array(0);
