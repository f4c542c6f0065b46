/** The proxy's own answers in HTTP/1.1. */
import { type Answer, answerBody, proxyStatus } from "../http/answer.ts";

const REASON_PHRASES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  403: "Forbidden",
  408: "Request Timeout",
  431: "Request Header Fields Too Large",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  508: "Loop Detected",
};

const encoder = new TextEncoder();

/** The answer as bytes. `method` decides whether the body is sent: an answer to HEAD has none (RFC 9110 §9.3.2). */
export function encodeAnswer(answer: Answer, options: { method?: string; close: boolean }): Uint8Array {
  const body = answerBody(answer);
  const head = `HTTP/1.1 ${answer.status} ${REASON_PHRASES[answer.status] ?? "Error"}\r\n` +
    "Content-Type: application/json\r\n" +
    `Content-Length: ${body.length}\r\n` +
    `Proxy-Status: ${proxyStatus(answer)}\r\n` +
    (options.close ? "Connection: close\r\n" : "") +
    "\r\n";
  const headBytes = encoder.encode(head);
  if (options.method === "HEAD") return headBytes;
  const bytes = new Uint8Array(headBytes.length + body.length);
  bytes.set(headBytes);
  bytes.set(body, headBytes.length);
  return bytes;
}
