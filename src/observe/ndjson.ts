/**
 * NDJSON and JSON Lines: one event for each line, as it ends. Lines end with LF, a CR before it is not of
 * the line, and lines without any content are left out, as both formats have it. The last line need not end.
 */
import { payloadAttributes } from "../log/payload.ts";
import { LineReader } from "./line_reader.ts";
import type { MessageObserver, ObserverContext, ObserverDefinition } from "./observer.ts";
import type { PayloadType } from "./payload/decode.ts";
import { recordUnit } from "./payload/record.ts";
import { wholeCharacters } from "./utf8.ts";

const MEDIA_TYPES: ReadonlySet<string> = new Set([
  "application/x-ndjson",
  "application/ndjson",
  "application/jsonl",
  "application/jsonlines",
  "application/x-jsonlines",
  "application/json-lines",
]);

const JSON_LINE: PayloadType = { kind: "json", charset: null };

export const NDJSON: ObserverDefinition = {
  name: "ndjson",
  open: (_head, mediaType, context) =>
    mediaType !== null && MEDIA_TYPES.has(mediaType.essence) ? new NdjsonObserver(context) : null,
  example: { mediaType: "application/x-ndjson", content: '{"a":1}\n\n{"b":[2,"é"]}\r\n"last"' },
};

class NdjsonObserver implements MessageObserver {
  readonly #lines: LineReader;
  #index = 0;

  constructor(private readonly context: ObserverContext) {
    this.#lines = new LineReader(context, context.limits.captureBytes);
  }

  content(bytes: Uint8Array): void {
    this.#lines.push(bytes, (line, length) => this.#line(line, length, true));
  }

  end(cut: boolean): void {
    this.#lines.end((line, length) => this.#line(line, length, !cut));
  }

  #line(line: Uint8Array, bytes: number, complete: boolean): void {
    if (bytes === 0) return;
    const index = this.#index++;
    const cut = line.length < bytes;
    this.context.emit("ndjson_line", {
      bytes,
      ...(complete ? {} : { complete }),
      ...payloadAttributes(cut ? wholeCharacters(line) : line),
      index,
      ...(cut ? { truncated: true } : {}),
    });
    if (complete && !cut) recordUnit(this.context, line, { framing: "ndjson", index, type: JSON_LINE });
  }
}
