/**
 * The parts of a multipart body (RFC 2046 §5.1; forms: RFC 7578): the header and the size of each, told when it is
 * over, and what a small one says where that is more than text, which the body events have. A delimiter is a line: CRLF, two hyphens, the boundary, and then only
 * white space, or two more hyphens behind the last part.
 */
import { redactFields } from "../log/redact.ts";
import type { Field } from "../http/fields.ts";
import { fieldValues, mediaTypeOf } from "../http/media_type.ts";
import { KeptBytes } from "./kept_bytes.ts";
import type { MessageObserver, ObserverContext, ObserverDefinition } from "./observer.ts";
import { type PayloadType, payloadType } from "./payload/decode.ts";
import { recordUnit, UNDECLARED } from "./payload/record.ts";

/** What is read of a part's header. */
export const PART_HEADER_BYTES_MAX = 8 * 1024;
export const PART_FIELDS_MAX = 64;
/** RFC 2046 §5.1.1: 1 to 70 of these, and no space at the end. */
const BOUNDARY = /^[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]$/;

export const MULTIPART: ObserverDefinition = {
  name: "multipart",
  open: (_head, mediaType, context) => {
    if (mediaType === null || !mediaType.essence.startsWith("multipart/")) return null;
    const boundary = mediaType.parameters.get("boundary") ?? "";
    // Parts of a range (RFC 9110 §14.6) say nothing by themselves.
    const payloadBytes = mediaType.essence === "multipart/byteranges" ? 0 : context.limits.payloadBytes;
    return BOUNDARY.test(boundary) ? new MultipartObserver(context, boundary, payloadBytes) : null;
  },
  example: {
    mediaType: "multipart/form-data; boundary=xx",
    content:
      'before\r\n--xx\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x\r\n--xx \r\n\r\n\r\n--xx--after',
  },
};

const [TAB, LF, CR, SPACE, HYPHEN] = [0x09, 0x0a, 0x0d, 0x20, 0x2d];
const HEADER_END = Uint8Array.of(CR, LF, CR, LF);

/** Where the content has come to. `line`: behind a boundary, in what has to be white space. */
type State = "content" | "line" | "line_cr" | "line_hyphen" | "header" | "over";

interface OpenPart {
  bytes: number;
  headerBytes: number;
  inHeader: boolean;
  /** Octets behind its header, those of what may be a delimiter too. */
  contentBytes: number;
}

class MultipartObserver implements MessageObserver {
  readonly #delimiter: Uint8Array;
  readonly #header: KeptBytes;
  /** What follows the header of the part under way; its first `bytes` octets are the part's. */
  readonly #content: KeptBytes;
  #state: State = "content";
  /** How much of what is looked for has come; the beginning of the body is the beginning of a line. */
  #matched = 2;
  /** Octets of the line of a delimiter, behind its boundary. */
  #lineBytes = 0;
  /** The part under way; null before the first. */
  #part: OpenPart | null = null;
  #index = 0;

  constructor(private readonly context: ObserverContext, boundary: string, payloadBytes: number) {
    this.#delimiter = new TextEncoder().encode(`\r\n--${boundary}`);
    this.#header = new KeptBytes(context, PART_HEADER_BYTES_MAX);
    this.#content = new KeptBytes(context, payloadBytes);
  }

  content(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length && this.#state !== "over";) {
      if (this.#state === "header") {
        at = this.#inHeader(bytes, at);
        continue;
      }
      const part = this.#part;
      const next = this.#state === "content" ? this.#inContent(bytes, at) : this.#inLine(bytes[at]!, at);
      if (part !== null && part === this.#part) this.#keep(part, bytes.subarray(at, next));
      at = next;
    }
  }

  #keep(part: OpenPart, content: Uint8Array): void {
    part.contentBytes += content.length;
    this.#content.reserveWhatFits(part.contentBytes, this.#tryHold);
    this.#content.keep(content);
  }

  readonly #tryHold = (bytes: number): boolean => this.context.tryHold(bytes);

  end(): void {
    if (this.#part !== null) {
      if (this.#state === "content") this.#count(this.#matched);
      this.#emit(false);
    }
    this.#header.clear();
    this.#content.clear();
  }

  /** Looks for a delimiter, from one CR to the next. */
  #inContent(bytes: Uint8Array, start: number): number {
    let at = start;
    if (this.#matched === 0) {
      const cr = bytes.indexOf(CR, at);
      this.#count((cr < 0 ? bytes.length : cr) - at);
      if (cr < 0) return bytes.length;
      at = cr + 1;
      this.#matched = 1;
    }
    const delimiter = this.#delimiter;
    while (at < bytes.length && this.#matched < delimiter.length) {
      if (bytes[at] !== delimiter[this.#matched]) {
        // There is a CR at the beginning of a delimiter alone, so nothing of this was the beginning of another.
        this.#count(this.#matched);
        this.#matched = 0;
        return at;
      }
      at++;
      this.#matched++;
    }
    if (this.#matched === delimiter.length) {
      this.#state = "line";
      this.#lineBytes = 0;
    }
    return at;
  }

  #inLine(octet: number, at: number): number {
    this.#lineBytes++;
    switch (this.#state) {
      case "line":
        if (octet === SPACE || octet === TAB) return at + 1;
        if (octet === CR) return this.#go("line_cr", at + 1);
        if (octet === HYPHEN && this.#lineBytes === 1) return this.#go("line_hyphen", at + 1);
        break;
      case "line_cr":
        if (octet === LF) return this.#begin(at + 1);
        break;
      case "line_hyphen":
        if (octet === HYPHEN) return this.#close(at + 1);
        break;
    }
    return this.#noDelimiter(at);
  }

  #go(state: State, next: number): number {
    this.#state = state;
    return next;
  }

  /** The line goes on otherwise: it is content, and a CR at its end may begin a delimiter. */
  #noDelimiter(at: number): number {
    const endsWithCr = this.#state === "line_cr";
    this.#state = "content";
    this.#count(this.#delimiter.length + this.#lineBytes - (endsWithCr ? 2 : 1));
    this.#matched = endsWithCr ? 1 : 0;
    return at;
  }

  #begin(next: number): number {
    if (this.#part !== null) this.#emit(true);
    this.#part = { bytes: 0, headerBytes: 0, inHeader: true, contentBytes: 0 };
    // The line's end may already be the first half of the header's.
    this.#matched = 2;
    return this.#go("header", next);
  }

  #close(next: number): number {
    if (this.#part !== null) this.#emit(true);
    this.#part = null;
    return this.#go("over", next);
  }

  /** Looks for the empty line behind a part's header. */
  #inHeader(bytes: Uint8Array, start: number): number {
    const part = this.#part!;
    let at = start;
    while (at < bytes.length && this.#matched < HEADER_END.length) {
      const octet = bytes[at++]!;
      this.#matched = octet === HEADER_END[this.#matched] ? this.#matched + 1 : octet === CR ? 1 : 0;
    }
    part.headerBytes += at - start;
    if (!this.#header.reserve(part.headerBytes)) return this.#go("over", bytes.length);
    this.#header.keep(bytes.subarray(start, at));
    if (this.#matched === HEADER_END.length) {
      part.inHeader = false;
      // A part without content ends with the line end that its header ends with.
      this.#matched = 2;
      this.#state = "content";
      part.bytes = -2;
    }
    return at;
  }

  #count(bytes: number): void {
    if (this.#part !== null) this.#part.bytes += bytes;
  }

  #emit(complete: boolean): void {
    const { headerBytes, inHeader } = this.#part!;
    const bytes = inHeader ? 0 : Math.max(0, this.#part!.bytes);
    const { fields, truncated } = readHeader(this.#header.view);
    const index = this.#index++;
    this.context.emit("multipart_part", {
      bytes,
      ...(complete ? {} : { complete }),
      headers: redactFields(fields, this.context.redactHeaders),
      index,
      ...(truncated || headerBytes > PART_HEADER_BYTES_MAX ? { truncated: true } : {}),
    });
    this.#header.reset();
    const type = typeOfPart(fields);
    if (complete && type !== null && bytes <= this.#content.limit) {
      recordUnit(this.context, this.#content.view.subarray(0, bytes), { framing: "multipart", index, type });
    }
    this.#content.reset();
  }
}

/** Null where a part is in a coding of its own (RFC 2045 §6). */
function typeOfPart(fields: readonly Field[]): PayloadType | null {
  const codings = [
    ...fieldValues(fields, "content-transfer-encoding"),
    ...fieldValues(fields, "content-encoding"),
  ];
  if (codings.some((coding) => !/^(7bit|8bit|binary|identity)$/i.test(coding))) return null;
  const type = payloadType(mediaTypeOf(fields));
  // The body events hold the very same text.
  const isPlain = (type.kind === "text" || type.kind === "script") &&
    /^(utf-?8|us-ascii)$/i.test(type.charset ?? "utf-8");
  return isPlain ? UNDECLARED : type;
}

const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** RFC 7578 §5.1: names and values as UTF-8; a line that begins with white space goes on with the one before. */
function readHeader(header: Uint8Array): { fields: Field[]; truncated: boolean } {
  const lines = text.decode(header).replace(/\r\n[ \t]+/g, " ").split("\r\n").filter((line) => line !== "");
  const fields = lines.slice(0, PART_FIELDS_MAX).map((line): Field => {
    const colon = line.indexOf(":");
    // RFC 822 had white space before the colon; with it a name would not be known as one to redact.
    return colon < 0 ? [line, ""] : [line.slice(0, colon).trimEnd(), line.slice(colon + 1).trim()];
  });
  return { fields, truncated: lines.length > PART_FIELDS_MAX };
}
