/** Heads of messages as frames, in literals that touch no table. */
import { encodeHeaders } from "../../src/http2/frame_writer.ts";
import { encodeFieldBlock } from "../../src/http2/hpack_encoder.ts";

export function block(fields: Record<string, string>): Uint8Array {
  return encodeFieldBlock(Object.entries(fields).map((field) => ({ field, neverIndexed: false })));
}

export function request(
  streamId: number,
  fields: Record<string, string> = {},
  endStream = true,
): Uint8Array {
  const head = { ":method": "GET", ":scheme": "https", ":path": "/", ":authority": "a.test", ...fields };
  return encodeHeaders(streamId, block(head), { endStream });
}

export function response(
  streamId: number,
  status: number,
  endStream: boolean,
  fields: Record<string, string> = {},
): Uint8Array {
  return encodeHeaders(streamId, block({ ":status": String(status), ...fields }), { endStream });
}
