/**
 * gRPC and gRPC-Web: what is called (`grpc_headers`), each message as it ends (`grpc_message`), and how the call
 * ended (`grpc_trailers`). Broken envelopes are told and end the reading of that direction, never the call's end.
 */
import type { Attributes } from "../../core/event.ts";
import { type Field, listElements } from "../../http/fields.ts";
import { fieldValues } from "../../http/media_type.ts";
import type { MessageHead } from "../../http/observation.ts";
import { payloadAttributes } from "../../log/payload.ts";
import { redactFields } from "../../log/redact.ts";
import { readCodings } from "../content_coding.ts";
import type { MessageObserver, ObserverContext, ObserverDefinition } from "../observer.ts";
import { Base64Reader } from "./base64_reader.ts";
import { callType, encodingNames, firstValue, type GrpcType, grpcType, methodOf, timeoutNs } from "./call.ts";
import { type EnvelopeHandler, EnvelopeReader, PREFIX_BYTES } from "./envelope.ts";
import { Payload, type PayloadResult } from "./payload.ts";
import { binaryBytes, decodeMessage, impliedStatus, readStatus, readTrailers, statusName } from "./status.ts";

/** What an envelope can do wrong, as `decoder_failed` names it. */
export type EnvelopeFault =
  /** Flags that gRPC does not have. */
  | "invalid_compressed_flag"
  /** Longer than any implementation takes: 2^31-1 octets. */
  | "message_too_large"
  /** The content ends within the five octets before a message. */
  | "truncated_prefix"
  /** The content ends within a message. */
  | "length_mismatch"
  /** A message is called compressed, but grpc-encoding names no encoding. */
  | "compressed_without_encoding"
  /** Something follows the trailers of gRPC-Web. */
  | "data_after_trailers"
  /** The content of gRPC-Web in base64 is none. */
  | "invalid_base64";

const MESSAGE_BYTES_MAX = 2 ** 31 - 1;
/** Trailers of gRPC-Web in the content: as much as of a header list. */
const TRAILERS_BYTES_MAX = 64 * 1024;

const COMPRESSED = 0x01;
const TRAILERS = 0x80;

export const GRPC: ObserverDefinition = {
  name: "grpc",
  open(head, mediaType, context) {
    const own = head.response === null ? callType(head.request) : grpcType(mediaType);
    if (own !== null) return new GrpcObserver(head, own, context);
    if (head.response === null) return null;
    const call = callType(head.request);
    if (call === null) return null;
    // A response to a call that is not called one: that of something in between, unless it only forgot to say.
    const says = fieldValues(head.response.fields, "content-type").length > 0;
    const foreign = says || head.response.status !== 200;
    return new GrpcObserver(head, call, context, foreign);
  },
  example: {
    mediaType: "application/grpc+json",
    content: '\0\0\0\0\x07{"a":1}\0\0\0\0\0\0\0\0\0\x02{}',
  },
};

class GrpcObserver implements MessageObserver, EnvelopeHandler {
  readonly #head: MessageHead;
  readonly #type: GrpcType;
  readonly #context: ObserverContext;
  /** The response is none of gRPC: its content is not read. */
  readonly #foreign: boolean;
  readonly #fields: readonly Field[];
  readonly #reader = new EnvelopeReader(this);
  readonly #base64: Base64Reader | null;
  /** What compressed messages are in; empty where none is named, null where it cannot be taken off. */
  #codings: readonly string[] | null;
  /** Why `#codings` is null, until it was told. */
  #codingsFault: string | null = null;
  /** Nothing more is read of the content. */
  #over: boolean;
  #index = 0;
  #flags = 0;
  #declaredBytes = 0;
  #payload: Payload | null = null;
  /** The trailers that were in the content. */
  #webTrailers: readonly Field[] | null = null;

  constructor(head: MessageHead, type: GrpcType, context: ObserverContext, foreign = false) {
    this.#head = head;
    this.#type = type;
    this.#context = context;
    this.#foreign = this.#over = foreign;
    this.#fields = (head.response ?? head.request).fields;
    this.#base64 = type.text ? new Base64Reader() : null;
    const read = readCodings(encodingNames(this.#fields));
    this.#codings = read.type === "codings" ? read.codings : null;
    if (read.type === "error") this.#codingsFault = read.detail;
    context.emit("grpc_headers", this.#headers(), "grpc");
  }

  content(bytes: Uint8Array): void {
    if (this.#over) return;
    if (this.#base64 === null) {
      this.#reader.push(bytes);
      return;
    }
    this.#reader.push(this.#base64.push(bytes));
    // What stopped the reader may be that the observer is stopped: it has nothing more to say.
    if (this.#base64.failed && !this.#reader.stopped) {
      this.#fault("invalid_base64", "a character that base64 has not");
    }
  }

  end(cut: boolean, trailers: readonly Field[]): void {
    if (!this.#over) this.#contentEnded(cut);
    if (this.#head.response !== null) this.#ended(cut, trailers, this.#head.response.status);
  }

  // Envelopes

  begin(flags: number, bytes: number): boolean {
    const trailers = (flags & TRAILERS) !== 0;
    if ((flags & ~(COMPRESSED | TRAILERS)) !== 0 || trailers && !this.#mayHoldTrailers) {
      return this.#fault("invalid_compressed_flag", `the flags of the envelope are 0x${hex(flags)}`);
    }
    if (this.#webTrailers !== null) {
      return this.#fault("data_after_trailers", `${bytes} octets follow the trailers`);
    }
    if (bytes > MESSAGE_BYTES_MAX) {
      return this.#fault("message_too_large", `a message of ${bytes} octets`);
    }
    this.#flags = flags;
    this.#declaredBytes = bytes;
    const codings = (flags & COMPRESSED) === 0 ? null : this.#codingsToTakeOff();
    this.#payload = new Payload(
      this.#context,
      trailers ? TRAILERS_BYTES_MAX : this.#context.limits.captureBytes,
      bytes,
      codings,
    );
    return true;
  }

  part(bytes: Uint8Array): boolean {
    this.#payload!.part(bytes);
    return true;
  }

  whole(): boolean {
    this.#payload!.finish(false, (result) => {
      if ((this.#flags & TRAILERS) === 0) this.#message(result, true);
      else this.#trailersInContent(result);
    });
    this.#payload = null;
    return true;
  }

  get #mayHoldTrailers(): boolean {
    return this.#type.web && this.#head.direction === "response";
  }

  #codingsToTakeOff(): readonly string[] | null {
    if (this.#codings === null) {
      if (this.#codingsFault !== null) {
        this.#context.report("content_coding", this.#codingsFault, { index: this.#index });
      }
      this.#codingsFault = null;
      return null;
    }
    if (this.#codings.length > 0) return this.#codings;
    const detail = "a message is called compressed, and grpc-encoding names no encoding";
    this.#report("compressed_without_encoding", detail);
    return null;
  }

  #message(result: PayloadResult, complete: boolean): void {
    this.#decodingFailed(result);
    const { bytes, data, dataBytes, decodedBytes, error } = result;
    this.#context.emit("grpc_message", {
      bytes,
      ...(complete ? {} : { complete, declared_bytes: this.#declaredBytes }),
      compressed: (this.#flags & COMPRESSED) !== 0,
      ...payloadAttributes(data),
      ...(decodedBytes === null ? {} : { decoded_bytes: decodedBytes }),
      ...(decodedBytes === null || error === null ? {} : { decoded_partly: true }),
      index: this.#index++,
      ...(data.length < dataBytes ? { truncated: true } : {}),
    }, "grpc");
  }

  #trailersInContent(result: PayloadResult): void {
    this.#decodingFailed(result);
    const readable = (this.#flags & COMPRESSED) === 0 || result.decodedBytes !== null;
    this.#webTrailers = readable ? readTrailers(result.data) : [];
  }

  #decodingFailed({ error, exhausted }: PayloadResult): void {
    if (error !== null) this.#context.report("content_coding", error, { index: this.#index });
    // Once told is enough: nothing after it can be decoded.
    if (exhausted) this.#codings = null;
  }

  #contentEnded(cut: boolean): void {
    const payload = this.#payload;
    if (payload !== null) {
      if (!cut) {
        const detail =
          `the content ends after ${payload.bytes} of the ${this.#declaredBytes} octets of a message`;
        this.#report("length_mismatch", detail);
      }
      this.#unfinished();
    } else if (cut) {
      return;
    } else if (this.#reader.within === "prefix") {
      const detail =
        `the content ends after ${this.#reader.prefixBytes} of the ${PREFIX_BYTES} octets before a message`;
      this.#report("truncated_prefix", detail);
    } else if (this.#base64?.incomplete) {
      this.#report("invalid_base64", "the content ends within a unit of four characters");
    }
  }

  /** Records the message under way as far as it came. */
  #unfinished(): void {
    this.#payload?.finish(true, (result) => {
      if ((this.#flags & TRAILERS) === 0) this.#message(result, false);
    });
    this.#payload = null;
  }

  /** Tells what is wrong and reads no more. */
  #fault(reason: EnvelopeFault, detail: string): false {
    this.#over = true;
    this.#report(reason, detail);
    this.#unfinished();
    return false;
  }

  #report(reason: EnvelopeFault, detail: string): void {
    this.#context.report("framing", reason, { detail, index: this.#index });
  }

  // Heads and trailers

  #headers(): Attributes {
    const { request, response } = this.#head;
    const fields = redactFields(this.#fields, this.#context.redactHeaders);
    const timeout = firstValue(fields, "grpc-timeout");
    return {
      ...methodOf(request.target),
      accept_encodings: listElements(fieldValues(fields, "grpc-accept-encoding")),
      ...(this.#foreign
        ? { content_type: firstValue(fields, "content-type"), http_status: response!.status }
        : { content_subtype: this.#type.subtype }),
      encoding: firstValue(fields, "grpc-encoding"),
      ...(timeout === null || response !== null ? {} : { timeout, timeout_ns: timeoutNs(timeout) }),
      ...(this.#type.web ? { web: true } : {}),
      ...(this.#type.text ? { web_text: true } : {}),
    };
  }

  /** How the call ended, from wherever the server said it; a call that was cut before has nothing of it. */
  #ended(cut: boolean, trailers: readonly Field[], httpStatus: number): void {
    const from = [this.#webTrailers ?? [], trailers, this.#fields].find((fields) =>
      fieldValues(fields, "grpc-status").length > 0
    );
    if (from === undefined && cut) return;
    const { redactHeaders } = this.#context;
    const web = this.#webTrailers;
    const inContent = web === null ? {} : { headers: redactFields(web, redactHeaders) };
    if (from === undefined) {
      const implied = impliedStatus(httpStatus);
      this.#context.emit("grpc_trailers", {
        grpc_status: null,
        ...inContent,
        http_status: httpStatus,
        implied_status: implied,
        implied_status_name: statusName(implied),
      }, "grpc");
      return;
    }
    const fields = redactFields(from, redactHeaders);
    const text = firstValue(fields, "grpc-status")!;
    const status = readStatus(text);
    const message = firstValue(fields, "grpc-message");
    const details = firstValue(from, "grpc-status-details-bin");
    this.#context.emit("grpc_trailers", {
      ...(details === null ? {} : { details_bytes: binaryBytes(details) }),
      ...(message === null ? {} : { grpc_message: decodeMessage(message) }),
      grpc_status: status,
      ...(status === null ? { grpc_status_text: text } : { grpc_status_name: statusName(status) }),
      ...inContent,
      ...(from === this.#fields ? { trailers_only: true } : {}),
    }, "grpc");
  }
}

function hex(octet: number): string {
  return octet.toString(16).padStart(2, "0");
}
