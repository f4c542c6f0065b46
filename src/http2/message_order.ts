/**
 * The order of frames within one message (RFC 9113 §8.1): a head, for a response after any number
 * of interim ones, then content, then perhaps trailers that end the stream. And its length: content
 * that is not as long as content-length says makes a message malformed (§8.1.1).
 *
 * One for each direction of a stream; what the stream's state forbids is `stream_state.ts`'s to say.
 */
import type { Side } from "../core/side.ts";
import { type Http2Error, http2Error, type Http2ErrorCode } from "./errors.ts";
import type { RequestSection, ResponseSection } from "./field_section.ts";

export class MessageOrder {
  #headSeen = false;
  /** Null where nothing is declared, or what is declared says nothing of this message. */
  #contentLength: number | null = null;
  #contentBytes = 0;

  constructor(private readonly by: Side, private readonly streamId: number) {}

  /** What the next field block of this direction is. */
  get next(): "head" | "trailers" {
    return this.#headSeen ? "trailers" : "head";
  }

  get contentBytes(): number {
    return this.#contentBytes;
  }

  /** All that content-length promised has come, be the message's end with it or not. */
  get hasPromisedContent(): boolean {
    return this.#headSeen && this.#contentLength === this.#contentBytes;
  }

  /**
   * `requestMethod` is that of the request which a response answers: neither HEAD nor a CONNECT that
   * succeeds lets content-length speak of this message (RFC 9110 §8.6).
   */
  head(
    section: RequestSection | ResponseSection,
    endStream: boolean,
    requestMethod: string,
  ): Http2Error | null {
    if (section.type === "request") {
      this.#headSeen = true;
      if (section.method !== "CONNECT") this.#contentLength = section.contentLength;
    } else {
      const { status } = section;
      if (status < 200) {
        if (!endStream) return null;
        return this.#error(
          "interim_response_ends_stream",
          `a response with status ${status} ends the stream`,
        );
      }
      this.#headSeen = true;
      const tunnels = requestMethod === "CONNECT" && status < 300;
      const isEmpty = requestMethod === "HEAD" || status === 204 || status === 304;
      if (!tunnels && !isEmpty) this.#contentLength = section.contentLength;
    }
    return endStream ? this.#checkEnd() : null;
  }

  /** Content as it arrives, in any pieces; `endStream` with the last of them. */
  content(bytes: number, endStream: boolean): Http2Error | null {
    if (!this.#headSeen) return this.#error("data_before_headers", "DATA precedes the head of the message");
    this.#contentBytes += bytes;
    if (this.#contentLength !== null && this.#contentBytes > this.#contentLength) {
      return this.#mismatch("over");
    }
    return endStream ? this.#checkEnd() : null;
  }

  trailers(endStream: boolean): Http2Error | null {
    if (endStream) return this.#checkEnd();
    return this.#error(
      "trailers_without_end",
      "a second field block does not end the stream, as trailers must",
    );
  }

  #checkEnd(): Http2Error | null {
    if (this.#contentLength === null || this.#contentBytes === this.#contentLength) return null;
    return this.#mismatch("only");
  }

  #mismatch(relation: "over" | "only"): Http2Error {
    const found = relation === "over" ? `over ${this.#contentLength}` : `only ${this.#contentBytes}`;
    return this.#error(
      "content_length_mismatch",
      `the content has ${found} bytes; content-length says ${this.#contentLength}`,
    );
  }

  #error(code: Http2ErrorCode, detail: string): Http2Error {
    return http2Error(code, this.by, this.streamId, detail);
  }
}
