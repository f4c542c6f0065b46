/** What the load process (`load.go`) is asked and answers, one line of JSON each way. */
import { Child, jsonLine } from "./processes.ts";

export interface Target {
  /** `host:port`; empty for the straight way. */
  readonly proxy: string;
  readonly origin: string;
  readonly secure: boolean;
  /** Path of what the client trusts; unused without TLS. */
  readonly ca: string;
}

export type LoadCommand =
  & { readonly targets: readonly Target[] }
  & (
    | {
      readonly scenario: "keepalive" | "connections";
      readonly connections: number;
      readonly seconds: number;
      readonly streams?: number;
    }
    | {
      readonly scenario: "keepalive" | "connections";
      readonly connections: number;
      readonly requests: number;
      /** Under way at once on each connection, which then speaks HTTP/2. */
      readonly streams?: number;
    }
    | { readonly scenario: "download" | "upload"; readonly bytes: number; readonly streams?: number }
    | { readonly scenario: "latency"; readonly requests: number }
    | { readonly scenario: "hold"; readonly connections: number }
    | { readonly scenario: "release" }
  );

export interface LoadResult {
  readonly error?: string;
  /** Requests, connections or bytes. */
  readonly count: number;
  readonly seconds: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** Medians in the order of the targets. */
  readonly firstByteMs?: readonly number[];
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
