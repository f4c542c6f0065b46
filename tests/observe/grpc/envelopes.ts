/** Makes the content of gRPC messages, as a peer would. */
import zlib from "node:zlib";

export function envelope(flags: number, message: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(5 + message.length);
  bytes[0] = flags;
  new DataView(bytes.buffer).setUint32(1, message.length);
  bytes.set(message, 5);
  return bytes;
}

export const gzip = (message: Uint8Array) => new Uint8Array(zlib.gzipSync(message));
export const deflate = (message: Uint8Array) => new Uint8Array(zlib.deflateSync(message));
