/**
 * Server-sent events (WHATWG HTML §9.2.5 and §9.2.6): one event for each that a browser would dispatch, as the
 * line end of its blank line arrives; a CR is one at once, whether a LF follows or not. What the standard throws
 * away at the end of a stream is told as well, as not complete.
 *
 * `eventsource-parser` says what lines mean. It is given whole lines within bounds, and octets as characters:
 * the grammar is ASCII, and so nothing of what is no UTF-8 is lost. An event without data would be dropped with
 * the id that it sets (which stays, §9.2.6), so each has an empty line of data, and no other: it would keep many
 * short ones as so many strings. It makes an error of each line that it has no use for, so it gets none of those.
 */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import type { Attributes } from "../core/event.ts";
import { latin1Bytes, readLatin1 } from "../core/latin1.ts";
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
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf] as const;
/** The longest name of a field whose value is kept, a colon and a space. */
const LONGEST_FIELD_START = "event: ".length;
const FIRST_LINE = "data:\n";
const LINE_FEED = Uint8Array.of(0x0a);

class SseObserver implements MessageObserver {
  readonly #lines: LineReader;
  readonly #parser = createParser({
    onEvent: (message) => this.#dispatched = message,
    onRetry: (milliseconds) => this.#retryMs = Math.min(milliseconds, Number.MAX_SAFE_INTEGER),
    onComment: () => this.#comments++,
  });
  readonly #data: KeptBytes;
  /** How many octets of a byte order mark have come; null once it is decided whether there is one. */
  #markBytes: number | null = 0;
  #index = 0;
  /** There was no room: nothing is said any more, also of what lies in the same piece of content. */
  #stopped = false;
  /** The last event id: it stays until another one comes. */
  #id = "";
  #dispatched: EventSourceMessage | null = null;
  // Of the event under way.
  #begun = false;
  #hasData = false;
  #dataBytes = 0;
  #retryMs: number | null = null;
  #comments = 0;
  #truncated = false;

  constructor(private readonly context: ObserverContext) {
    const { captureBytes } = context.limits;
    this.#lines = new LineReader(
      context,
      Math.max(captureBytes, SSE_FIELD_BYTES_MAX + 1) + LONGEST_FIELD_START,
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
    this.#blankLine(false);
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
      this.#blankLine(true);
      return;
    }
    const valueStart = dataStart(line);
    if (valueStart === null) {
      const kept = fieldKept(line);
      if (kept !== null) this.#feed(readLatin1(kept, 0, kept.length) + "\n");
    } else {
      if (!this.#hasData) this.#feed("");
      this.#addData(line.subarray(valueStart), bytes - valueStart);
    }
  };

  #feed(line: string): void {
    this.#parser.feed(this.#begun ? line : FIRST_LINE + line);
    this.#begun = true;
  }

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

  /** §9.2.6, "dispatch the event": without data there is none, and what there was of its type is forgotten. */
  #blankLine(complete: boolean): void {
    if (!this.#begun) return;
    this.#begun = false;
    this.#parser.feed("\n");
    const { id, event } = this.#dispatched!;
    this.#dispatched = null;
    if (id !== undefined) this.#id = this.#text(id);
    // At the end of the stream also what came without data, and so without an event: nothing else would tell of it.
    const waits = this.#hasData || id !== undefined || event !== undefined;
    const untold = !complete && (waits || this.#retryMs !== null || this.#comments > 0);
    // Comments and `retry` wait for no blank line, so nothing of them was cut.
    if (this.#hasData || untold) this.#emit(complete || !waits, event);
  }

  #text(octets: string): string {
    if (octets.length <= SSE_FIELD_BYTES_MAX) return replacing.decode(latin1Bytes(octets));
    this.#truncated = true;
    return replacing.decode(wholeCharacters(latin1Bytes(octets).subarray(0, SSE_FIELD_BYTES_MAX)));
  }

  #emit(complete: boolean, event: string | undefined): void {
    const bytes = this.#dataBytes;
    const kept = this.#data.view;
    const cut = kept.length < bytes;
    const index = this.#index++;
    const retryMs = this.#retryMs;
    const type = event === undefined ? "" : this.#text(event);
    const attributes: Attributes = {
      bytes,
      ...(this.#comments > 0 ? { comments: this.#comments } : {}),
      ...(complete ? {} : { complete }),
      ...(this.#hasData ? dataAttributes(cut ? wholeCharacters(kept) : kept) : {}),
      ...(type === "" ? {} : { event: type }),
      ...(this.#id === "" ? {} : { id: this.#id }),
      index,
      ...(retryMs === null ? {} : { retry_ms: retryMs }),
      ...(cut || this.#truncated ? { truncated: true } : {}),
    };
    this.#data.reset();
    this.#hasData = false;
    this.#dataBytes = 0;
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

/** Where the value of a line of data begins; null for every other line. */
function dataStart(line: Uint8Array): number | null {
  if (line[0] !== 0x64 || line[1] !== 0x61 || line[2] !== 0x74 || line[3] !== 0x61) return null;
  if (line.length === 4) return 4;
  return line[4] !== COLON ? null : line[5] === SPACE ? 6 : 5;
}

/** What is kept of other lines: one octet more than is told, to see that there was more. Null: they say nothing. */
function fieldKept(line: Uint8Array): Uint8Array | null {
  const colon = line.indexOf(COLON);
  const name = colon < 0 ? line : line.subarray(0, colon);
  if (colon !== 0 && !isName(name, "event") && !isName(name, "id")) {
    if (!isName(name, "retry") || colon < 0) return null;
    const digits = line.subarray(line[colon + 1] === SPACE ? colon + 2 : colon + 1);
    if (digits.length === 0 || digits.some((octet) => octet < 0x30 || octet > 0x39)) return null;
  }
  // An id with NUL is none (§9.2.6), wherever in it that is.
  return line.includes(0) ? line : line.subarray(0, LONGEST_FIELD_START + SSE_FIELD_BYTES_MAX + 1);
}

/** Names are compared as they are: upper case or a space before the colon makes another field. */
function isName(octets: Uint8Array, name: string): boolean {
  if (octets.length !== name.length) return false;
  for (let index = 0; index < name.length; index++) {
    if (octets[index] !== name.charCodeAt(index)) return false;
  }
  return true;
}
