/**
 * What one side of a WebSocket says (RFC 6455 §5): its frames put together to messages, with control frames
 * between them, and what is wrong with each. Keeps at most the captured part of one message.
 */
import type { ObserverContext, Stage } from "../observer.ts";
import type { Instant } from "../../core/instant.ts";
import type { Side } from "../../core/side.ts";
import type { FramingFault, Violation } from "./deviations.ts";
import { type FrameHeader, FrameReader, type FrameSink, OPCODES, RSV1 } from "./frame_reader.ts";
import type { MessageInflater } from "./message_inflater.ts";
import { KeptBytes } from "../kept_bytes.ts";
import { wholeCharacters } from "../utf8.ts";
import { Utf8Checker } from "./utf8_checker.ts";

/** A message that is over, whole or not. */
export interface Message {
  readonly opcode: "text" | "binary";
  /** Its payload as it was transferred. */
  readonly bytes: number;
  readonly fragments: number;
  readonly compressed: boolean;
  /** What came out of its compression; null where that is none or was not taken off. */
  readonly decodedBytes: number | null;
  /** Compression was taken off in part only. */
  readonly decodedPartly: boolean;
  /** Its content up to `capture.body_bytes`, valid during the call only; null where it stayed compressed. */
  readonly data: Uint8Array | null;
  readonly truncated: boolean;
  /** False where its last frame did not come. */
  readonly complete: boolean;
  readonly violation: Violation | null;
}

export interface ControlFrame {
  readonly opcode: "ping" | "pong" | "close";
  /** Valid during the call only. */
  readonly payload: Uint8Array;
  readonly violation: Violation | null;
}

/** What is told of one side, in the order in which it came. */
export interface MessageSink {
  dataFrameBegan(): void;
  /** Octets of a data frame's payload come; told before anything that they lead to, and before how many they are. */
  dataComes(): void;
  /** So many octets of a data frame's payload have come, the last of them then; told by `settle` at the latest. */
  dataPassed(bytes: number, at: Instant): void;
  message(message: Message): void;
  control(frame: ControlFrame): void;
  /** Something could not be decoded. After the stage `framing` nothing of this side is read any more. */
  failed(stage: Stage, reason: string): void;
}

export interface MessageReaderOptions {
  readonly side: Side;
  readonly context: Pick<ObserverContext, "hold" | "limits" | "now" | "release">;
  /** Null where the side may not compress. */
  readonly inflater: MessageInflater | null;
  /** What a decoder keeps, in octets. */
  readonly inflaterHeldBytes: number;
  /** The reserved bits that extensions which are not known here may use, as they stand in a header. */
  readonly foreignReserved: number;
  readonly sink: MessageSink;
}

const CONTROL = 0x8;
const CONTROL_BYTES_MAX = 125;
const NOTHING = new Uint8Array(0);

/** A message of which a first frame has begun. */
interface OpenMessage {
  readonly text: boolean;
  /** Its content must be UTF-8. */
  readonly checked: boolean;
  readonly compressed: boolean;
  /** Its content is to be taken out of its compression; or, uncompressed, is what it is. */
  readonly readable: boolean;
  bytes: number;
  fragments: number;
  /** Of its content; more than was captured where that is over the limit. */
  contentBytes: number;
  violation: Violation | null;
}

export class MessageReader implements FrameSink {
  readonly #options: MessageReaderOptions;
  readonly #frames = new FrameReader();
  readonly #utf8 = new Utf8Checker();
  #message: OpenMessage | null = null;
  readonly #captured: KeptBytes;
  #inflaterReserved = false;
  /** The frame under way. */
  #header: FrameHeader | null = null;
  /** What came of it and was not told yet: by whole frames it does not matter where a stop finds it. */
  #untoldBytes = 0;
  #untoldAt: Instant = 0;
  /** The read under way has something of a data frame. */
  #hasData = false;
  #frameViolation: Violation | null = null;
  #control = NOTHING;
  #controlBytes = 0;
  #closeSeen = false;
  #closeValid = false;
  #stopped = false;

  constructor(options: MessageReaderOptions) {
    this.#options = options;
    this.#captured = new KeptBytes(options.context, options.context.limits.captureBytes);
  }

  /** This side has sent a close frame, and nothing was wrong with it. */
  get closedCleanly(): boolean {
    return this.#closeValid;
  }

  /** Whether there was anything of a data frame in it, behind its header at least. */
  push(data: Uint8Array): boolean {
    this.#hasData = false;
    this.#frames.push(data, this);
    return this.#hasData;
  }

  /** Tells what has passed of a frame under way. */
  settle(): void {
    if (this.#untoldBytes === 0 || this.#stopped) return;
    this.#options.sink.dataPassed(this.#untoldBytes, this.#untoldAt);
    this.#untoldBytes = 0;
  }

  /** Reads no more; a message under way is dropped. */
  stop(): void {
    this.#stopped = true;
    this.#frames.stop();
    this.#message = null;
    this.#header = null;
    this.#options.inflater?.stop();
    this.#release();
  }

  /** No more comes from this side. What there is of a message is told. */
  finish(): void {
    if (this.#stopped) return;
    this.settle();
    this.#tell(false);
    this.stop();
  }

  // The frames

  begin(header: FrameHeader): number {
    const fault = this.#fault(header);
    if (fault !== null) {
      this.#fail(fault);
      return 0;
    }
    this.#header = header;
    this.#frameViolation = this.#violation(header);
    if (header.opcode >= CONTROL) {
      this.#controlBytes = 0;
      if (this.#control.length === 0 && header.payloadBytes > 0) {
        this.#control = new Uint8Array(CONTROL_BYTES_MAX);
      }
      return header.payloadBytes;
    }
    this.#hasData = true;
    this.#options.sink.dataFrameBegan();
    if (header.opcode !== OPCODES.continuation) this.#open(header);
    const message = this.#message;
    if (message === null) return 0;
    message.fragments++;
    message.violation ??= this.#frameViolation;
    if (!message.readable) return 0;
    // What is neither decoded nor checked is wanted only as far as it is kept.
    if (message.compressed || message.checked) return header.payloadBytes;
    return Math.min(
      header.payloadBytes,
      Math.max(0, this.#options.context.limits.captureBytes - message.contentBytes),
    );
  }

  passed(bytes: number): void {
    if (this.#header === null || this.#header.opcode >= CONTROL) return;
    this.#hasData = true;
    this.#untoldBytes += bytes;
    this.#untoldAt = this.#options.context.now;
    this.#options.sink.dataComes();
    const message = this.#message;
    if (message === null) return;
    message.bytes += bytes;
    if (!message.compressed) message.contentBytes += bytes;
  }

  payload(bytes: Uint8Array): void {
    if (this.#header === null) return;
    if (this.#header.opcode >= CONTROL) {
      this.#control.set(bytes, this.#controlBytes);
      this.#controlBytes += bytes.length;
      return;
    }
    const message = this.#message;
    if (message === null) return;
    if (!message.compressed) {
      this.#content(message, bytes);
      return;
    }
    const inflater = this.#options.inflater!;
    if (inflater.error !== null) return;
    inflater.push(bytes, this.#deliver);
    if (inflater.error !== null && !this.#stopped) {
      this.#options.sink.failed("content_coding", inflater.error);
    }
  }

  /** The frame under way is whole. Named by `FrameSink`; `finish` is the end of all of them. */
  end(): void {
    const header = this.#header!;
    this.#header = null;
    if (header.opcode >= CONTROL) {
      this.#controlEnded(header);
      return;
    }
    this.settle();
    if (header.fin) this.#tell(true);
  }

  outOfRange(): void {
    this.#fail("length_out_of_range");
  }

  #fault({ opcode, payloadBytes }: FrameHeader): FramingFault | null {
    switch (opcode) {
      case OPCODES.continuation:
        return this.#message === null ? "stray_continuation" : null;
      case OPCODES.text:
      case OPCODES.binary:
        return this.#message === null ? null : "interrupted_message";
      case OPCODES.close:
      case OPCODES.ping:
      case OPCODES.pong:
        return payloadBytes > CONTROL_BYTES_MAX ? "control_too_long" : null;
      default:
        return "reserved_opcode";
    }
  }

  #violation({ fin, masked, minimal, opcode, reserved }: FrameHeader): Violation | null {
    const { foreignReserved, inflater, side } = this.#options;
    if (this.#closeSeen) return "frame_after_close";
    if (masked !== (side === "client")) {
      return side === "client" ? "unmasked_client_frame" : "masked_server_frame";
    }
    const undefinedBits = reserved & ~foreignReserved;
    if ((undefinedBits & ~(inflater === null ? 0 : RSV1)) !== 0) return "reserved_bits";
    if (undefinedBits !== 0 && opcode !== OPCODES.text && opcode !== OPCODES.binary) return "misplaced_rsv1";
    if (!minimal) return "non_minimal_length";
    return opcode >= CONTROL && !fin ? "fragmented_control" : null;
  }

  #fail(fault: FramingFault): void {
    this.#tell(false);
    this.#options.sink.failed("framing", fault);
    this.stop();
  }

  #release(): void {
    const { context, inflaterHeldBytes } = this.#options;
    this.#captured.clear();
    if (this.#inflaterReserved) context.release(inflaterHeldBytes);
    this.#inflaterReserved = false;
  }

  // Messages

  #open({ opcode, reserved }: FrameHeader): void {
    const { foreignReserved, inflater } = this.#options;
    const compressed = inflater !== null && (reserved & RSV1 & ~foreignReserved) !== 0;
    if (compressed && !this.#reserveInflater()) return;
    this.#utf8.reset();
    this.#captured.reset();
    this.#message = {
      text: opcode === OPCODES.text,
      // What an extension that is not known here made of text need not be text.
      checked: opcode === OPCODES.text && (reserved & foreignReserved) === 0,
      compressed,
      readable: !compressed || inflater.begin(),
      bytes: 0,
      fragments: 0,
      contentBytes: 0,
      violation: null,
    };
  }

  #reserveInflater(): boolean {
    const { context, inflaterHeldBytes } = this.#options;
    this.#inflaterReserved ||= context.hold(inflaterHeldBytes);
    return this.#inflaterReserved;
  }

  readonly #deliver = (decoded: Uint8Array): void => {
    const message = this.#message;
    if (message === null) return;
    message.contentBytes += decoded.length;
    this.#content(message, decoded);
  };

  #content(message: OpenMessage, bytes: Uint8Array): void {
    if (message.checked) this.#utf8.push(bytes);
    // Checked before it is kept: nothing is once there was no room.
    if (this.#captured.reserve(this.#captured.length + bytes.length)) this.#captured.keep(bytes);
  }

  #tell(complete: boolean): void {
    const message = this.#message;
    if (message === null) return;
    const { inflater, sink } = this.#options;
    const inflated = message.compressed && message.readable;
    if (inflated && complete && inflater!.error === null) {
      inflater!.end(this.#deliver);
      // The budget may not have had room for the last of it.
      if (this.#stopped) return;
      if (inflater!.error !== null) sink.failed("content_coding", inflater!.error);
    }
    this.#message = null;
    const partly = inflated && (!complete || inflater!.error !== null);
    if (message.checked && message.readable) {
      const valid = partly || !complete ? this.#utf8.valid : this.#utf8.end();
      if (!valid) message.violation ??= "invalid_utf8";
    }
    const captured = this.#captured.view;
    const truncated = message.contentBytes > captured.length;
    sink.message({
      opcode: message.text ? "text" : "binary",
      bytes: message.bytes,
      fragments: message.fragments,
      compressed: message.compressed,
      decodedBytes: inflated ? message.contentBytes : null,
      decodedPartly: partly,
      data: !message.readable
        ? null
        : truncated && message.checked && this.#utf8.valid
        ? wholeCharacters(captured)
        : captured,
      truncated,
      complete,
      violation: message.violation,
    });
  }

  #controlEnded({ opcode }: FrameHeader): void {
    const payload = this.#control.subarray(0, this.#controlBytes);
    const close = opcode === OPCODES.close;
    const violation = this.#frameViolation ?? (close ? closeViolation(payload) : null);
    if (close && !this.#closeSeen) {
      this.#closeSeen = true;
      this.#closeValid = violation === null;
    }
    this.#options.sink.control({
      opcode: close ? "close" : opcode === OPCODES.ping ? "ping" : "pong",
      payload,
      violation,
    });
  }
}

/** RFC 6455 §7.4: codes that may stand in a frame, with those that were registered since. */
function closeViolation(payload: Uint8Array): Violation | null {
  if (payload.length === 0) return null;
  if (payload.length === 1) return "one_octet_close";
  const code = payload[0]! * 256 + payload[1]!;
  const defined = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
  if (!defined && (code < 3000 || code > 4999)) return "invalid_close_code";
  const reason = new Utf8Checker();
  reason.push(payload.subarray(2));
  return reason.end() ? null : "invalid_utf8";
}
