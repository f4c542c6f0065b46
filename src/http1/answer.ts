/**
 * The proxy's own answers (README, "Answers on the wire"): a JSON body with an exact content-length
 * and a `Proxy-Status` field (RFC 9209) that names the error type.
 */
export interface Answer {
  readonly status: number;
  /** Stable code, in the body and in the event log. */
  readonly code: string;
  readonly detail: string;
  /** RFC 9209 §2.3 error type. */
  readonly proxyError: string;
}

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
  const body = encoder.encode(JSON.stringify({ error: answer.code, detail: answer.detail }) + "\n");
  const head = `HTTP/1.1 ${answer.status} ${REASON_PHRASES[answer.status] ?? "Error"}\r\n` +
    "Content-Type: application/json\r\n" +
    `Content-Length: ${body.length}\r\n` +
    `Proxy-Status: soth-mitm; error=${answer.proxyError}\r\n` +
    (options.close ? "Connection: close\r\n" : "") +
    "\r\n";
  const headBytes = encoder.encode(head);
  if (options.method === "HEAD") return headBytes;
  const bytes = new Uint8Array(headBytes.length + body.length);
  bytes.set(headBytes);
  bytes.set(body, headBytes.length);
  return bytes;
}
