/** The proxy's own answers in HTTP/2: a response of HEADERS and DATA on the stream of the request. */
import { type Answer, answerBody, proxyStatus } from "../http/answer.ts";
import type { Field } from "../http/fields.ts";
import { encodeHeaders } from "./frame_writer.ts";
import { encodeFieldBlock } from "./hpack_encoder.ts";

export interface Http2Answer {
  readonly headers: Uint8Array;
  /** What is to follow as DATA that ends the stream; where it is empty, `headers` end it. */
  readonly content: Uint8Array;
}

const NOTHING = new Uint8Array(0);

/**
 * Written without the tables of HPACK, so it may stand between blocks that are forwarded as they came. An answer
 * to HEAD has no body (RFC 9110 §9.3.2).
 */
export function encodeHttp2Answer(answer: Answer, streamId: number, method: string): Http2Answer {
  const body = answerBody(answer);
  const fields: readonly Field[] = [
    [":status", String(answer.status)],
    ["content-type", "application/json"],
    ["content-length", String(body.length)],
    ["proxy-status", proxyStatus(answer)],
  ];
  const block = encodeFieldBlock(fields.map((field) => ({ field, neverIndexed: false })));
  const endStream = method === "HEAD";
  return { headers: encodeHeaders(streamId, block, { endStream }), content: endStream ? NOTHING : body };
}
