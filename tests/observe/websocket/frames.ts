/** Frames of RFC 6455 for tests, right and wrong. */
import zlib from "node:zlib";
import type { Side } from "../../../src/core/side.ts";

export interface FrameOptions {
  readonly opcode: number;
  readonly fin?: boolean;
  /** RSV1 to RSV3, RSV1 being 4. */
  readonly rsv?: number;
  readonly mask?: boolean;
  readonly payload?: Uint8Array;
  /** The octets of the length field, 7, 16 or 64 bits, where it is not to be the shortest. */
  readonly lengthBits?: 7 | 16 | 64;
}

const KEY = [0x37, 0xfa, 0x21, 0x3d];

export function encodeFrame(
  { opcode, fin = true, rsv = 0, mask = false, payload = new Uint8Array(0), lengthBits }: FrameOptions,
): Uint8Array {
  const { length } = payload;
  const bits = lengthBits ?? (length < 126 ? 7 : length < 0x10000 ? 16 : 64);
  const head = [(fin ? 0x80 : 0) | rsv << 4 | opcode];
  const masked = mask ? 0x80 : 0;
  if (bits === 7) head.push(masked | length);
  else if (bits === 16) head.push(masked | 126, length >> 8, length & 0xff);
  else {
    head.push(masked | 127);
    for (let shift = 56; shift >= 0; shift -= 8) head.push(Math.floor(length / 2 ** shift) % 256);
  }
  if (mask) head.push(...KEY);
  const frame = new Uint8Array(head.length + length);
  frame.set(head);
  for (let index = 0; index < length; index++) {
    frame[head.length + index] = payload[index]! ^ (mask ? KEY[index % 4]! : 0);
  }
  return frame;
}

/** As permessage-deflate has it (RFC 7692 §7.2.1); `before`: what the message may look back into. */
export function deflateMessage(content: Uint8Array, before: Uint8Array = new Uint8Array(0)): Uint8Array {
  const options = { finishFlush: zlib.constants.Z_SYNC_FLUSH };
  const coded = zlib.deflateRawSync(
    content,
    before.length === 0 ? options : { ...options, dictionary: before },
  );
  return new Uint8Array(coded.subarray(0, coded.length - 4));
}

export function sideMasks(side: Side): boolean {
  return side === "client";
}
