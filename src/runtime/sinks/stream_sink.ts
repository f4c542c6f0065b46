/**
 * Sinks that cannot be continued, only written: standard output, devices and named pipes, Unix sockets.
 * Each opening is a log of its own there.
 */
import { LOG_START } from "../../log/position.ts";
import { StartError } from "../start_error.ts";
import {
  type Batch,
  type ByteWriter,
  countLines,
  explainFault,
  type Sink,
  SinkWriteError,
  writeAll,
} from "./sink.ts";

export class StreamSink implements Sink {
  readonly position = LOG_START;
  readonly indexed = false;
  readonly notices: readonly string[] = [];
  readonly #writer: ByteWriter;
  readonly #close: () => void;

  constructor(readonly name: string, writer: ByteWriter, close: () => void) {
    this.#writer = writer;
    this.#close = close;
  }

  static standardOutput(): StreamSink {
    return new StreamSink("-", Deno.stdout, () => {});
  }

  /** A character device or a named pipe. Opening a pipe waits for its reader, as in a shell. */
  static async device(path: string): Promise<StreamSink> {
    const file = await Deno.open(path, { write: true });
    return new StreamSink(path, file, () => file.close());
  }

  static async unixSocket(name: string): Promise<StreamSink> {
    const path = name.slice("unix:".length);
    if (path === "") throw refusal(name, "the path is missing; write unix:/path/to/socket");
    if (Deno.build.os === "windows") {
      throw refusal(
        name,
        "Unix sockets are not available on Windows; use a file path or - for standard output",
      );
    }
    try {
      const connection = await Deno.connect({ transport: "unix", path });
      return new StreamSink(name, connection, () => connection.close());
    } catch (fault) {
      const absent = fault instanceof Deno.errors.NotFound || fault instanceof Deno.errors.ConnectionRefused;
      const detail = absent
        ? "nothing listens there; start the reader before the proxy"
        : explainFault(fault);
      throw refusal(name, detail, fault);
    }
  }

  async write({ data }: Batch): Promise<number> {
    const { written, fault } = await writeAll(this.#writer, data);
    if (fault !== null) {
      throw new SinkWriteError(
        `event sink ${this.name} failed: ${explainFault(fault)}`,
        countLines(data, written),
        { cause: fault },
      );
    }
    return data.length;
  }

  close(): Promise<void> {
    try {
      this.#close();
    } catch {
      // Already closed by the platform: nothing is left to do.
    }
    return Promise.resolve();
  }
}

function refusal(name: string, detail: string, cause?: unknown): StartError {
  return new StartError("event_sink_init_failed", `cannot open event sink ${name}: ${detail}`, { cause });
}
