/**
 * The proxy's own answers (README, "Answers on the wire"), whatever the HTTP version: a JSON body with an
 * exact content-length and a `Proxy-Status` field (RFC 9209) that names the error type.
 */
export interface Answer {
  readonly status: number;
  /** Stable code, in the body and in the event log. */
  readonly code: string;
  readonly detail: string;
  /** RFC 9209 §2.3 error type. */
  readonly proxyError: string;
}

const encoder = new TextEncoder();

export function answerBody(answer: Answer): Uint8Array {
  return encoder.encode(JSON.stringify({ error: answer.code, detail: answer.detail }) + "\n");
}

/** The value of the answer's `Proxy-Status` field. */
export function proxyStatus(answer: Answer): string {
  return `soth-mitm; error=${answer.proxyError}`;
}
