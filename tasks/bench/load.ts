/** What the load process (`load.go`) is asked and answers, one line of JSON each way. */
import { Child, jsonLine } from "./processes.ts";

export interface Target {
  /** `host:port`; empty for the straight way. */
  readonly proxy: string;
  readonly origin: string;
  readonly secure: boolean;
  /** Path of what the client trusts; unused without TLS. */
  readonly ca: string;
  /** What the certificate has to be for, where that is not the origin's host. */
  readonly name?: string;
  /** Whether new connections resume the session of an earlier one. */
  readonly tickets?: boolean;
}

export type LoadCommand =
  & { readonly targets: readonly Target[] }
  & (
    | {
      readonly scenario: "keepalive" | "connections";
      readonly connections: number;
      readonly seconds: number;
      readonly streams?: number;
      /** What is asked for, where that is not the small answer. */
      readonly path?: string;
    }
    | {
      readonly scenario: "keepalive" | "connections";
      readonly connections: number;
      readonly requests: number;
      /** Under way at once on each connection, which then speaks HTTP/2. */
      readonly streams?: number;
    }
    | { readonly scenario: "download" | "upload"; readonly bytes: number; readonly streams?: number }
    /** The targets take turns; `requests` of each. */
    | { readonly scenario: "latency" | "events" | "round_trips"; readonly requests: number }
    | {
      /** WebSocket messages that are sent back; `window` of them under way on each connection. */
      readonly scenario: "messages";
      readonly connections: number;
      readonly window: number;
      readonly seconds: number;
    }
    | { readonly scenario: "hold"; readonly connections: number }
    | { readonly scenario: "release" }
  );

export interface LoadResult {
  readonly error?: string;
  /** Requests, connections, messages or bytes. */
  readonly count: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Of new connections those that resumed a session. */
  readonly resumed?: number;
  /** Where targets take turns: each one's median and 99th percentile, in their order. */
  readonly turnP50Ms?: readonly number[];
  readonly turnP99Ms?: readonly number[];
}

const COMMAND_LIMIT_MS = 300_000;

export class Load {
  private constructor(private readonly child: Child) {}

  static start(peers: string): Load {
    return new Load(new Child("load", [peers, "load"], "stdout"));
  }

  /** Throws when a request was not answered as the origin answers. */
  async run(command: LoadCommand): Promise<LoadResult> {
    await this.child.write(JSON.stringify(command));
    const result = await this.child.line(jsonLine<LoadResult>, COMMAND_LIMIT_MS);
    if (result.error !== undefined) {
      // A thousand connections can fail for one reason.
      throw new Error(`${command.scenario}: ${result.error.split("\n").slice(0, 3).join("; ")}`);
    }
    return result;
  }
}
