/**
 * Field blocks: what HEADERS and PUSH_PROMISE begin or go on with, judged, recorded and forwarded as the octets
 * that came, or withheld.
 *
 * A request goes to the gate first. While that has not decided, its stream is idle to everybody.
 */
import { addMilliseconds } from "../core/instant.ts";
import { opposite, type Side } from "../core/side.ts";
import type { Answer } from "../http/answer.ts";
import type { RequestGate, Verdict } from "../http/request_gate.ts";
import type { AltSvcFilter } from "./alt_svc_filter.ts";
import type { Http2Connection } from "./connection.ts";
import type { Direction } from "./direction.ts";
import { type Http2Error, http2Error } from "./errors.ts";
import { readRequest, readResponse, readTrailers, type RequestSection } from "./field_section.ts";
import { encodeRstStream } from "./frame_writer.ts";
import type { HeaderBlock } from "./header_block.ts";
import type { HpackField } from "./hpack_table.ts";
import { initiatorOf } from "./stream_state.ts";

/** The opening of a stream by the client. */
interface Opening {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly request: RequestSection | Http2Error;
  readonly fields: readonly HpackField[];
  readonly block: HeaderBlock;
}

const OBSERVE: Verdict = { type: "observe" };

export class FieldBlocks {
  readonly #connection: Http2Connection;
  readonly #gate: RequestGate;
  readonly #altSvc: AltSvcFilter;
  readonly #tolerant: boolean;
  /** The request that waits for the gate. */
  #undecided: Opening | null = null;

  constructor(connection: Http2Connection, gate: RequestGate, altSvc: AltSvcFilter, tolerant: boolean) {
    this.#connection = connection;
    this.#gate = gate;
    this.#altSvc = altSvc;
    this.#tolerant = tolerant;
  }

  /** A request waits for the gate: nothing else of the client's may be read. */
  get awaitsDecision(): boolean {
    return this.#undecided !== null;
  }

  /** Octets of the request that waits. */
  get heldBytes(): number {
    return this.#undecided?.block.raw.length ?? 0;
  }

  /** The gate's answer for the request that waits. */
  decided(verdict: Verdict): void {
    const opening = this.#undecided;
    if (opening === null) return;
    this.#undecided = null;
    const { client } = this.#connection.directions;
    const error = this.#request(verdict, opening);
    if (error === null) return;
    client.withhold();
    this.#connection.error(client, error, opening.block.raw.length);
  }

  /** A block that is whole. */
  received(direction: Direction, block: HeaderBlock): void {
    const { opening } = block;
    const decoded = direction.decoder.decode(block.bytes, opening.streamId);
    if (decoded.type === "error") {
      if (decoded.scope === "connection") {
        this.#connection.connectionError(decoded);
        return;
      }
      this.#unreadable(direction, decoded, block);
      return;
    }
    const error = opening.type === "headers"
      ? this.#headers(direction, opening.streamId, opening.endStream, decoded.fields, block)
      : this.#pushPromise(direction, opening.streamId, opening.promisedStreamId, decoded.fields, block);
    if (error === null) return;
    direction.withhold();
    this.#connection.error(direction, error, block.raw.length);
  }

  /** A block whose list is over a limit. What it would have opened counts as opened; nothing of it goes on. */
  #unreadable(direction: Direction, error: Http2Error, { opening, raw }: HeaderBlock): void {
    direction.withhold();
    const { streamId } = opening;
    const { numbers } = this.#connection.streams;
    if (opening.type === "push_promise") {
      const promised = opening.promisedStreamId;
      if (!this.#connection.step(direction, streamId, "push_promise")) {
        this.#promiseWithoutStream(direction, promised);
        return;
      }
      if (numbers.open("server", promised) !== null) {
        this.#connection.connectionError(wrongNumber("server", promised));
      } else this.#connection.error(direction, { ...error, streamId: promised }, raw.length);
      return;
    }
    if (direction.by === "client" && numbers.isIdle(streamId)) {
      if (numbers.open("client", streamId) !== null) {
        this.#connection.connectionError(wrongNumber("client", streamId));
      } else this.#connection.error(direction, error, raw.length);
    } else if (this.#connection.step(direction, streamId, opening.endStream ? "headers_end" : "headers")) {
      this.#connection.error(direction, error);
    }
  }

  /** Gives the error for which the block is withheld. */
  #headers(
    direction: Direction,
    streamId: number,
    endStream: boolean,
    fields: readonly HpackField[],
    block: HeaderBlock,
  ): Http2Error | null {
    const { by } = direction;
    const { numbers } = this.#connection.streams;
    if (by === "client" && numbers.isIdle(streamId)) {
      if (initiatorOf(streamId) !== "client") return wrongNumber("client", streamId);
      const opening: Opening = {
        streamId,
        endStream,
        request: readRequest(fields, { by, streamId, tolerant: this.#tolerant }),
        fields,
        block,
      };
      const verdict = this.#askGate(streamId, opening.request);
      if (verdict !== null) return this.#request(verdict, opening);
      // Until it is decided the stream is idle to everybody.
      this.#undecided = { ...opening, block: { ...block, raw: block.raw.slice() } };
      return null;
    }
    if (by === "client" && numbers.isSkipped(streamId)) return wrongNumber("client", streamId);
    if (!this.#connection.step(direction, streamId, endStream ? "headers_end" : "headers")) {
      if (endStream && by === "client") this.#connection.refusals.requestEnded(streamId);
      direction.withhold();
      return null;
    }
    const stream = this.#connection.streams.get(streamId);
    if (stream === undefined) {
      this.#forwardBlock(direction, fields, block);
      return null;
    }
    stream.progressAt = this.#connection.now;
    const order = stream.order[by];
    const recorded = stream.recorder;
    if (order.next === "trailers") {
      const trailers = readTrailers(fields, { by, streamId, tolerant: this.#tolerant });
      if (trailers.type === "error") return trailers;
      const error = order.trailers(endStream);
      if (error !== null) return error;
      if (by === "client") recorded?.requestTrailers(trailers.fields, trailers.tolerated, block.raw.length);
      else recorded?.responseTrailers(trailers.fields, trailers.tolerated, block.raw.length);
    } else if (by === "server") {
      const response = readResponse(fields, { by, streamId, tolerant: this.#tolerant });
      if (response.type === "error") return response;
      const error = order.head(response, endStream, stream.method);
      if (error !== null) return error;
      recorded?.responseHead({
        status: response.status,
        version: "HTTP/2",
        fields: response.fields,
        headBytes: block.raw.length,
        tolerated: response.tolerated,
      }, this.#connection.now);
    }
    this.#forwardBlock(direction, fields, block);
    if (endStream) this.#connection.messageEnded(stream, by);
    return null;
  }

  #askGate(streamId: number, request: RequestSection | Http2Error): Verdict | null {
    // What is malformed, or one too many, is answered without asking.
    if (request.type === "error" || request.hostDiffers) return OBSERVE;
    if (this.#checkRoom("client", streamId) !== null) return OBSERVE;
    const { authority, host, method, path } = request;
    return this.#gate.ask(streamId, method, authority ?? host, path);
  }

  /** A stream that the client opens, decided. Gives the error for which the block is withheld. */
  #request(verdict: Verdict, { streamId, endStream, request, fields, block }: Opening): Http2Error | null {
    const direction = this.#connection.directions.client;
    const { by } = direction;
    this.#connection.streams.numbers.open(by, streamId);
    const full = this.#checkRoom(by, streamId);
    if (full !== null) return full;
    if (request.type === "error") return request;
    if (request.hostDiffers) {
      const detail = "the host field disagrees with :authority";
      return http2Error("host_authority_mismatch", by, streamId, detail);
    }
    const headBytes = block.raw.length;
    if (verdict.type === "refuse") {
      direction.withhold();
      this.#refuse(streamId, request, headBytes, endStream, verdict.answer);
      return null;
    }
    const state = endStream ? "client_ended" : "open";
    const observe = verdict.type === "observe";
    const stream = this.#connection.openStream(streamId, state, request, headBytes, observe);
    const error = stream.order.client.head(request, endStream, request.method);
    if (error !== null) return error;
    stream.known = true;
    this.#forwardBlock(direction, fields, block);
    if (endStream) stream.recorder?.requestFinished();
    this.#connection.closeRefused(stream);
    return null;
  }

  /** Answers a request of which nothing reaches the server; what the client still sends on it is swallowed. */
  #refuse(
    streamId: number,
    request: RequestSection,
    headBytes: number,
    endStream: boolean,
    answer: Answer,
  ): void {
    const { host, limits, now, recording, refusals, streams } = this.#connection;
    streams.resetByProxy(streamId);
    recording.begin(streamId, request, headBytes, now).complete("blocked", now, {
      by: "proxy",
      code: answer.code,
      detail: answer.detail,
      answerStatus: answer.status,
    });
    refusals.answer(streamId, answer, { method: request.method, ended: endStream });
    if (streams.size > 0) return;
    host.arm("idle", addMilliseconds(now, limits.idleMs));
  }

  #pushPromise(
    direction: Direction,
    streamId: number,
    promisedStreamId: number,
    fields: readonly HpackField[],
    block: HeaderBlock,
  ): Http2Error | null {
    if (!this.#connection.directions.client.settings.inForce.enablePush) {
      return http2Error(
        "push_disabled",
        direction.by,
        0,
        "the server sent PUSH_PROMISE although SETTINGS_ENABLE_PUSH of the client is 0",
      );
    }
    if (!this.#connection.step(direction, streamId, "push_promise")) {
      this.#promiseWithoutStream(direction, promisedStreamId);
      return null;
    }
    if (this.#connection.streams.numbers.open("server", promisedStreamId) !== null) {
      return wrongNumber("server", promisedStreamId);
    }
    const full = this.#checkRoom(direction.by, promisedStreamId);
    if (full !== null) return full;
    const origin = { by: direction.by, streamId: promisedStreamId, tolerant: this.#tolerant };
    const request = readRequest(fields, origin);
    if (request.type === "error") return request;
    const stream = this.#connection.openStream(promisedStreamId, "reserved", request, block.raw.length, true);
    stream.known = true;
    stream.recorder?.requestFinished();
    this.#forwardBlock(direction, fields, block);
    this.#connection.closeRefused(stream);
    return null;
  }

  /** A promise on a stream that the proxy has reset, of which the server has not heard yet: nobody waits for it. */
  #promiseWithoutStream(direction: Direction, promised: number): void {
    direction.withhold();
    if (this.#connection.finished) return;
    const { directions, floods, now, streams } = this.#connection;
    const error = streams.numbers.open("server", promised) === null
      ? floods.provokedReset("server", now)
      : wrongNumber("server", promised);
    if (error !== null) {
      this.#connection.connectionError(error);
      return;
    }
    streams.resetByProxy(promised);
    directions.client.add(encodeRstStream(promised, "CANCEL"));
  }

  /**
   * One stream too many is refused alone: its sender may ask again later (RFC 9113 §8.7). So is one that
   * begins after GOAWAY: it was promised not to be processed.
   */
  #checkRoom(by: Side, streamId: number): Http2Error | null {
    const { draining, limits: { maxStreams }, refusals, streams } = this.#connection;
    if (draining) {
      return http2Error("stream_after_goaway", by, streamId, "the proxy is stopping: the stream is refused");
    }
    if (streams.size + refusals.size < maxStreams) return null;
    return http2Error(
      "too_many_streams",
      by,
      streamId,
      `there are ${maxStreams} streams open already (http.http2_max_streams)`,
    );
  }

  #forwardBlock(direction: Direction, fields: readonly HpackField[], block: HeaderBlock): void {
    const { directions, refusals } = this.#connection;
    const { maxFrameSize } = directions[opposite(direction.by)].settings.inForce;
    const overtaking = direction.by === "server" && refusals.holdsAny;
    const kept = this.#altSvc.fieldsToForward(direction, block.opening.streamId, fields);
    const bytes = direction.blockToForward(kept, block, maxFrameSize, overtaking);
    this.#connection.forward(direction, block.opening.streamId, bytes);
  }
}

function wrongNumber(by: Side, streamId: number): Http2Error {
  return http2Error(
    "invalid_stream_id",
    by,
    0,
    `a ${by} cannot ${by === "client" ? "open" : "promise"} stream ${streamId}`,
  );
}
