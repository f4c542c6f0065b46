/**
 * Server-sent events (WHATWG HTML §9.2.5 and §9.2.6): one event for each that a browser would dispatch, as the
 * line end of its blank line arrives; a CR is one at once, whether a LF follows or not. What the standard throws
 * away at the end of a stream is told as well, as not complete.
 */
import type { Attributes } from "../core/event.ts";
import { payloadAttributes } from "../log/payload.ts";
import { KeptBytes } from "./kept_bytes.ts";
import { LineReader } from "./line_reader.ts";
import type { MessageObserver, ObserverContext, ObserverDefinition } from "./observer.ts";
import { recordUnit, UNDECLARED } from "./payload/record.ts";
import { wholeCharacters } from "./utf8.ts";

/** What is kept of an event's type and of its id. */
export const SSE_FIELD_BYTES_MAX = 1024;

export const SSE: ObserverDefinition = {
  name: "sse",
  open: (_head, mediaType, context) =>
    mediaType?.essence === "text/event-stream" ? new SseObserver(context) : null,
  example: {
    mediaType: "text/event-stream; charset=utf-8",
    content:
      ': hello\n\nevent: delta\r\nid: 7\r\ndata: {"text":"Hé"}\r\n\r\nretry: 500\rdata: one\rdata:two\r\rdata: cut',
  },
};

const COLON = 0x3a;
const SPACE = 0x20;
const LINE_FEED = Uint8Array.of(0x0a);
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf] as const;
/** `data: `, the longest name of a field whose value is kept, with what parts the two. */
const LONGEST_FIELD_START = 7;

class SseObserver implements MessageObserver {
  readonly #lines: LineReader;
  readonly #data: KeptBytes;
  /** How many octets of a byte order mark have come; null once it is decided whether there is one. */
  #markBytes: number | null = 0;
  #index = 0;
  /** There was no room: nothing is said any more, also of what lies in the same piece of content. */
  #stopped = false;
  /** The last event id: it stays until another one comes. */
  #id = "";
  // Of the event under way.
  #hasData = false;
  #dataBytes = 0;
  #type = "";
  #idSet = false;
  #retryMs: number | null = null;
  #comments = 0;
  #truncated = false;

  constructor(private readonly context: ObserverContext) {
    const { captureBytes } = context.limits;
    this.#lines = new LineReader(
      context,
      Math.max(captureBytes, SSE_FIELD_BYTES_MAX) + LONGEST_FIELD_START,
      "any",
    );
    this.#data = new KeptBytes(context, captureBytes);
  }

  content(bytes: Uint8Array): void {
    this.#lines.push(this.#withoutMark(bytes), this.#line);
  }

  end(): void {
    this.#lines.end(this.#line);
    if (this.#stopped) return;
    // Also what came without data, and so without an event: nothing else would tell of it.
    const untold = this.#hasData || this.#type !== "" || this.#idSet || this.#retryMs !== null ||
      this.#comments > 0;
    if (untold) this.#emit(false);
    this.#data.clear();
  }

  /** §9.2.6: one leading byte order mark is no content. */
  #withoutMark(bytes: Uint8Array): Uint8Array {
    if (this.#markBytes === null) return bytes;
    for (let index = 0; index < bytes.length; index++) {
      if (bytes[index] !== BYTE_ORDER_MARK[this.#markBytes]) {
        const seen = BYTE_ORDER_MARK.slice(0, this.#markBytes);
        this.#markBytes = null;
        return seen.length === 0 ? bytes : Uint8Array.of(...seen, ...bytes.subarray(index));
      }
      if (++this.#markBytes === BYTE_ORDER_MARK.length) {
        this.#markBytes = null;
        return bytes.subarray(index + 1);
      }
    }
    return bytes.subarray(bytes.length);
  }

  readonly #line = (line: Uint8Array, bytes: number): void => {
    if (this.#stopped) return;
    if (bytes === 0) {
      this.#blankLine();
      return;
    }
    const colon = line.indexOf(COLON);
    if (colon === 0) {
      this.#comments++;
      return;
    }
    const nameEnd = colon < 0 ? line.length : colon;
    const valueStart = colon < 0 ? line.length : line[colon + 1] === SPACE ? colon + 2 : colon + 1;
    const value = line.subarray(valueStart);
    const valueBytes = colon < 0 ? 0 : bytes - valueStart;
    switch (fieldName(line, nameEnd)) {
      case "data":
        this.#addData(value, valueBytes);
        break;
      case "event":
        this.#type = this.#text(value, valueBytes);
        break;
      case "id":
        if (value.includes(0)) break;
        this.#id = this.#text(value, valueBytes);
        this.#idSet = true;
        break;
      case "retry":
        this.#retryMs = digits(value, valueBytes) ?? this.#retryMs;
        break;
      case null:
        break;
    }
  };

  #addData(value: Uint8Array, bytes: number): void {
    const length = this.#hasData ? this.#dataBytes + 1 + bytes : bytes;
    if (!this.#data.reserve(length)) {
      this.#stopped = true;
      return;
    }
    if (this.#hasData) this.#data.keep(LINE_FEED);
    this.#data.keep(value);
    this.#hasData = true;
    this.#dataBytes = length;
  }

  #text(value: Uint8Array, bytes: number): string {
    if (bytes <= SSE_FIELD_BYTES_MAX) return replacing.decode(value);
    this.#truncated = true;
    return replacing.decode(wholeCharacters(value.subarray(0, SSE_FIELD_BYTES_MAX)));
  }

  /** §9.2.6, "dispatch the event": without data there is none, and what there was of its type is forgotten. */
  #blankLine(): void {
    if (this.#hasData) this.#emit(true);
    this.#type = "";
  }

  #emit(complete: boolean): void {
    const bytes = this.#dataBytes;
    const kept = this.#data.view;
    const cut = kept.length < bytes;
    const index = this.#index++;
    const retryMs = this.#retryMs;
    const attributes: Attributes = {
      bytes,
      ...(this.#comments > 0 ? { comments: this.#comments } : {}),
      ...(complete ? {} : { complete }),
      ...(this.#hasData ? dataAttributes(cut ? wholeCharacters(kept) : kept) : {}),
      ...(this.#type === "" ? {} : { event: this.#type }),
      ...(this.#id === "" ? {} : { id: this.#id }),
      index,
      ...(retryMs === null ? {} : { retry_ms: retryMs }),
      ...(cut || this.#truncated ? { truncated: true } : {}),
    };
    this.#data.reset();
    this.#hasData = false;
    this.#dataBytes = 0;
    this.#idSet = false;
    this.#retryMs = null;
    this.#comments = 0;
    this.#truncated = false;
    this.context.emit("sse_event", attributes, "sse");
    if (complete && !cut) {
      recordUnit(this.context, kept, { framing: "sse", index, type: UNDECLARED, protocol: "sse" });
    }
  }
}

/** The data as a browser has it, and where that lost something the octets, too. */
function dataAttributes(data: Uint8Array): Attributes {
  const payload = payloadAttributes(data);
  return "data" in payload ? payload : { data: replacing.decode(data), ...payload };
}

/** §9.2.5 decodes with replacement. */
const replacing = new TextDecoder("utf-8", { ignoreBOM: true });

const FIELD_NAMES = ["data", "event", "id", "retry"] as const;

/** Names are compared as they are: upper case or a space before the colon makes another field. */
function fieldName(line: Uint8Array, length: number): typeof FIELD_NAMES[number] | null {
  for (const name of FIELD_NAMES) {
    if (name.length !== length) continue;
    let index = 0;
    while (index < length && line[index] === name.charCodeAt(index)) index++;
    if (index === length) return name;
  }
  return null;
}

/** ASCII digits as a number, at most the largest that is exact; null where anything else is among them. */
function digits(value: Uint8Array, bytes: number): number | null {
  if (bytes === 0 || bytes > value.length || value.some((octet) => octet < 0x30 || octet > 0x39)) return null;
  return Math.min(Number(replacing.decode(value)), Number.MAX_SAFE_INTEGER);
}
