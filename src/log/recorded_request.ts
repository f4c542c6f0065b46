/** One request as a log has it, head and captured content, gathered from the events of its exchange. */
import type { LoggedEvent } from "../core/event.ts";
import {
  type FieldLines,
  fieldLinesOf,
  numberOf,
  octetsOf,
  optionalNumber,
  textOf,
} from "./event_attributes.ts";

export interface RecordedRequest {
  readonly method: string;
  readonly scheme: string;
  readonly authority: string;
  readonly target: string;
  /** `HTTP/1.1` */
  readonly version: string;
  readonly fields: FieldLines;
  /** Whether it was an extended CONNECT (RFC 8441). */
  readonly isExtendedConnect: boolean;
  /** Where it went. */
  readonly serverHost: string | null;
  readonly serverPort: number;
  /** The content as far as it was captured, its content coding taken off where `decoded` says so. */
  readonly content: Uint8Array;
  readonly decoded: boolean;
  /** Why the captured content is not all of it; null: it is. */
  readonly lacking: string | null;
  readonly hasTrailers: boolean;
}

/** Follows the events of one exchange; keeps what of the content was captured. */
export class RequestRecorder {
  #head: LoggedEvent | null = null;
  readonly #parts: Uint8Array[] = [];
  #capturedBytes = 0;
  #contentBytes = 0;
  #gap = false;
  #hasTrailers = false;
  #completed: LoggedEvent | null = null;

  constructor(private readonly flowId: string, private readonly exchangeId: number) {}

  get completed(): boolean {
    return this.#completed !== null;
  }

  event(event: LoggedEvent): void {
    if (event.flow_id !== this.flowId || event.attributes["exchange_id"] !== this.exchangeId) return;
    switch (event.kind) {
      case "request_headers":
        this.#head ??= event;
        break;
      case "request_body_chunk":
        this.#chunk(event);
        break;
      case "request_trailers":
        this.#hasTrailers = true;
        break;
      case "exchange_completed":
        this.#completed ??= event;
        break;
      default:
        break;
    }
  }

  /** Null: the log has no head of it. */
  finish(): RecordedRequest | null {
    if (this.#head === null) return null;
    const { attributes, server_host, server_port } = this.#head;
    const decoded = optionalNumber(this.#completed?.attributes["request_decoded_bytes"]) !== null;
    return {
      method: textOf(attributes["method"]),
      scheme: textOf(attributes["scheme"]),
      authority: textOf(attributes["authority"]),
      target: textOf(attributes["target"]),
      version: textOf(attributes["version"]),
      fields: fieldLinesOf(attributes["headers"]),
      isExtendedConnect: typeof attributes["protocol"] === "string",
      serverHost: server_host,
      serverPort: server_port,
      content: this.#content(),
      decoded,
      lacking: this.#lacking(),
      hasTrailers: this.#hasTrailers,
    };
  }

  #chunk(event: LoggedEvent): void {
    const bytes = numberOf(event.attributes["bytes"]);
    const octets = octetsOf(event);
    this.#contentBytes += bytes;
    if (this.#gap) return;
    if (octets !== null) {
      this.#parts.push(octets);
      this.#capturedBytes += octets.length;
    }
    this.#gap = (octets?.length ?? 0) < bytes;
  }

  #content(): Uint8Array {
    const content = new Uint8Array(this.#capturedBytes);
    let at = 0;
    for (const part of this.#parts) {
      content.set(part, at);
      at += part.length;
    }
    return content;
  }

  #lacking(): string | null {
    if (this.#gap) {
      return `the log has the first ${this.#capturedBytes} of ${this.#contentBytes} bytes of its content`;
    }
    const end = this.#completed?.attributes;
    if (end === undefined) return "the log ends before the exchange does";
    if (end["request_decoded_partly"] === true) return "not all of its content could be decompressed";
    const outcome = textOf(end["outcome"]);
    if (outcome === "complete" || this.#hasTrailers) return null;
    const lengths = fieldLinesOf(this.#head?.attributes["headers"])
      .flatMap(([name, value]) => name.toLowerCase() === "content-length" ? [value] : []);
    const isChunked = fieldLinesOf(this.#head?.attributes["headers"])
      .some(([name]) => name.toLowerCase() === "transfer-encoding");
    const transferred = numberOf(end["request_body_bytes"]);
    const declared = lengths.length > 0 ? lengths[0] : isChunked || transferred > 0 ? null : "0";
    return declared === String(transferred)
      ? null
      : `the exchange ended as ${outcome}, perhaps before all of its content was sent`;
  }
}
