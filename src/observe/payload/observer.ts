/**
 * Whole messages that no other observer knows: what their payload says, told when they are over. A payload longer
 * than `capture.payload_bytes` is told by its format and size; what is binary by its SHA-256 as well. Text in
 * UTF-8 has its value in the body events alone.
 */
import type { AttributeValue } from "../../core/event.ts";
import { fieldValues, type MediaType } from "../../http/media_type.ts";
import type { MessageHead } from "../../http/observation.ts";
import type { Digest } from "../digest.ts";
import { KeptBytes } from "../kept_bytes.ts";
import type { MessageObserver, ObserverContext, ObserverDefinition } from "../observer.ts";
import { decodePayload, type PayloadFormat, type PayloadType, payloadType } from "./decode.ts";
import { recordPayload, recordUnread } from "./record.ts";

/** Up to this the SHA-256 of a binary payload is told: it takes as long as relaying does. */
export const DIGEST_BYTES_MAX = 8 * 1024 * 1024;

export const PAYLOAD: ObserverDefinition = {
  name: "payload",
  open: (head, mediaType, context) =>
    context.limits.payloadBytes === 0 ? null : new PayloadObserver(context, typeOf(head, mediaType), head),
  example: { mediaType: "application/json", content: ')]}\',\n{"a":[1,12345678901234567890,"é"],"b":-0.0}' },
};

const PARTIAL_CONTENT = 206;

/** A part of a representation (RFC 9110 §14.4) says nothing by itself. */
function typeOf(head: MessageHead, mediaType: MediaType | null): PayloadType {
  return head.response?.status === PARTIAL_CONTENT
    ? { kind: "binary", charset: null }
    : payloadType(mediaType);
}

class PayloadObserver implements MessageObserver {
  readonly #kept: KeptBytes;
  #digest: Digest | null = null;
  #bytes = 0;

  constructor(
    private readonly context: ObserverContext,
    private readonly type: PayloadType,
    private readonly head: MessageHead,
  ) {
    this.#kept = new KeptBytes(context, context.limits.payloadBytes);
  }

  content(bytes: Uint8Array): void {
    if (this.#bytes === 0) this.#openDigest();
    const before = this.#bytes;
    this.#bytes += bytes.length;
    this.#digest?.update(bytes);
    if (this.#bytes > DIGEST_BYTES_MAX) this.#digest = null;
    const { payloadBytes } = this.context.limits;
    if (before > payloadBytes || this.type.kind === "binary" || !this.#kept.reserve(this.#bytes)) return;
    if (this.#bytes <= payloadBytes) this.#kept.keep(bytes);
    else this.#kept.clear();
  }

  end(cut: boolean): void {
    if (this.#bytes > 0) this.#tell(cut);
    this.#kept.clear();
  }

  #tell(cut: boolean): void {
    const { context, type } = this;
    const bytes = this.#bytes;
    const { payloadBytes } = context.limits;
    if (cut || bytes > payloadBytes || type.kind === "binary") {
      if (type.kind === "msgpack" && !cut) {
        context.report(
          "payload",
          `msgpack: ${bytes} octets; up to ${payloadBytes} are read (capture.payload_bytes)`,
        );
      } else {
        recordUnread(context, { bytes, format: UNREAD_FORMATS[type.kind], cut, sha256: this.#sha256() });
      }
      return;
    }
    const decoded = decodePayload(this.#kept.view, type);
    if (decoded.type === "error") context.report("payload", decoded.detail);
    else {
      const isBinary = decoded.format === "binary";
      recordPayload(context, this.#isInBody(decoded) ? { ...decoded, value: undefined } : decoded, {
        bytes,
        sha256: isBinary ? this.#sha256() ?? this.#keptSha256() : null,
      });
    }
  }

  /** The body events hold the very same text: it is not written twice. */
  #isInBody({ format, value }: { format: PayloadFormat; value: AttributeValue | undefined }): boolean {
    return format === "text" && typeof value === "string" &&
      this.#bytes <= this.context.limits.captureBytes &&
      isUtf8(this.type.charset) && !startsWithMark(this.#kept.view);
  }

  #sha256(): string | null {
    return this.#digest?.finish() ?? null;
  }

  /** Of what was declared to be text and is none. */
  #keptSha256(): string {
    const digest = this.context.openSha256();
    digest.update(this.#kept.view);
    return digest.finish();
  }

  /** Not for what is declared as something else, nor where it is known to be too long. */
  #openDigest(): void {
    if (this.type.kind !== "binary" && this.type.kind !== "unknown") return;
    const { fields } = this.head.response ?? this.head.request;
    if (Number(fieldValues(fields, "content-length")[0] ?? 0) > DIGEST_BYTES_MAX) return;
    this.#digest = this.context.openSha256();
  }
}

function isUtf8(charset: string | null): boolean {
  return charset === null || charset.toLowerCase() === "utf-8";
}

/** A byte order mark is in the body, and not in the text. */
function startsWithMark(bytes: Uint8Array): boolean {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
}

/** What is told of a payload that was not read. */
const UNREAD_FORMATS: Readonly<Record<PayloadType["kind"], PayloadFormat>> = {
  json: "json",
  msgpack: "msgpack",
  form: "form",
  script: "text",
  text: "text",
  binary: "binary",
  unknown: "binary",
};
