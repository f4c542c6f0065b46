/**
 * Frames of DATA, in the pieces in which they arrive: each is judged by its beginning, so that it is forwarded
 * whole or not at all, however it was cut.
 */
import { opposite } from "../core/side.ts";
import type { Http2Connection } from "./connection.ts";
import type { Direction } from "./direction.ts";
import { http2Error } from "./errors.ts";
import type { FramePiece } from "./frame_reader.ts";
import { FLAG_END_STREAM } from "./frames.ts";

export class DataFrames {
  readonly #connection: Http2Connection;

  constructor(connection: Http2Connection) {
    this.#connection = connection;
  }

  /** All of a frame, or a part of it. */
  received(direction: Direction, piece: FramePiece): void {
    const { header } = piece;
    const endStream = (header.flags & FLAG_END_STREAM) !== 0;
    if (piece.begins) direction.swallowing = !this.#mayPass(direction, piece, endStream);
    if (direction.swallowing || this.#connection.finished) return;
    const stream = this.#connection.streams.get(header.streamId);
    if (stream !== undefined && piece.content.length > 0) stream.progressAt = this.#connection.now;
    const last = piece.ends && endStream;
    if (direction.by === "client") stream?.recorder?.requestContent(piece.content, last);
    else stream?.recorder?.responseContent(piece.content, last);
    if (direction.holding) this.#connection.refusals.holdPiece(piece);
    else direction.forwardPiece(piece);
    if (!last || stream === undefined) return;
    // Only now: what comes from the other side in the middle of the frame must find the message unfinished.
    this.#connection.step(direction, header.streamId, "data_end");
    this.#connection.messageEnded(stream, direction.by);
  }

  /** Whether a frame goes on, by its beginning. */
  #mayPass(direction: Direction, { header, paddingBytes }: FramePiece, endStream: boolean): boolean {
    const { length, streamId } = header;
    const { floods, now } = this.#connection;
    const flood = floods.data(direction.by, length - paddingBytes, endStream, now);
    if (flood !== null) {
      this.#connection.connectionError(flood);
      return false;
    }
    if (this.#connection.step(direction, streamId, "data")) {
      const stream = this.#connection.streams.get(streamId);
      const error = stream?.order[direction.by].content(length - paddingBytes, endStream) ?? null;
      if (error === null) {
        if (direction.by === "client") direction.connectionWindow -= length;
        else if (!this.#admit(direction, length)) return false;
        if (stream !== undefined) {
          stream.granted[direction.by] -= length;
          if (endStream) stream.progressAt = now;
        }
        return true;
      }
      this.#connection.error(direction, error);
    }
    if (endStream && direction.by === "client") this.#connection.refusals.requestEnded(streamId);
    // What is swallowed was taken from the sender's window for the connection, and nobody else gives it back.
    if (!this.#connection.finished) this.#connection.directions[opposite(direction.by)].addWindow(length);
    return false;
  }

  /** Whether a server's DATA keeps to what it may believe of the client's window. */
  #admit(direction: Direction, length: number): boolean {
    const admission = this.#connection.refusals.admit(length);
    direction.holding = admission === "hold";
    // What waits is overtaken by what need not: only literals mean the same in any order.
    if (direction.holding) direction.withhold();
    if (admission !== "overrun") return true;
    this.#connection.connectionError(
      http2Error(
        "window_exceeded",
        "server",
        0,
        "a DATA frame exceeds the client's window for the connection",
      ),
    );
    return false;
  }
}
