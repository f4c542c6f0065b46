/**
 * An origin for responses that come piece by piece: Deno's own server (hyper), which speaks HTTP/1.1 and HTTP/2 as
 * the client likes, and encoders that flush after each piece.
 */
import { Buffer } from "node:buffer";
import * as zlib from "node:zlib";
import type { Certificate } from "./certificates.ts";

export type Pieces = AsyncIterable<Uint8Array>;

export interface StreamOrigin {
  readonly port: number;
  /** Waits for the responses under way, so whoever reads them goes first. */
  close(): Promise<void>;
}

export function startStreamOrigin(
  handler: (request: Request) => Response | Promise<Response>,
  certificate?: Certificate,
): StreamOrigin {
  const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
  const server = certificate === undefined
    ? Deno.serve(options, handler)
    : Deno.serve({ ...options, cert: certificate.certPem, key: certificate.keyPem }, handler);
  return { port: server.addr.port, close: () => server.shutdown() };
}

/** A response of these pieces, each sent as it comes; where they throw, the response is cut there. */
export function streamed(pieces: Pieces, headers: { readonly [name: string]: string }): Response {
  // The server would compress what nobody else has.
  return new Response(ReadableStream.from(pieces), {
    headers: { "cache-control": "no-transform", ...headers },
  });
}

const { constants } = zlib;
const ENCODERS = {
  gzip: { open: () => zlib.createGzip(), flush: constants.Z_SYNC_FLUSH },
  deflate: { open: () => zlib.createDeflate(), flush: constants.Z_SYNC_FLUSH },
  "deflate-raw": { open: () => zlib.createDeflateRaw(), flush: constants.Z_SYNC_FLUSH },
  br: { open: () => zlib.createBrotliCompress(), flush: constants.BROTLI_OPERATION_FLUSH },
  zstd: { open: () => zlib.createZstdCompress(), flush: constants.ZSTD_e_flush },
} as const;

export type FlushedCoding = keyof typeof ENCODERS;

/** Each piece compressed and flushed: who has the coded piece can have the piece. */
export async function* flushed(coding: FlushedCoding, pieces: Pieces): Pieces {
  const { open, flush } = ENCODERS[coding];
  const encoder = open();
  const coded: Uint8Array[] = [];
  encoder.on("data", (part: Uint8Array) => coded.push(part));
  const take = () => Buffer.concat(coded.splice(0));
  for await (const piece of pieces) {
    encoder.write(piece);
    await new Promise<void>((resolve) => encoder.flush(flush, () => resolve()));
    yield take();
  }
  const ended = new Promise<void>((resolve) => encoder.on("end", () => resolve()));
  encoder.end();
  await ended;
  yield take();
}
