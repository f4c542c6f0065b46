/** soth-mitm as the benchmark runs it: the real command, its ready line timed, its event log verified after. */
import { LogVerifier } from "../../src/log/verify.ts";
import { readLog } from "../../src/runtime/sinks/read_log.ts";
import { Child } from "./processes.ts";

const STATUS_MARK = "SOTH_MITM_STATUS\t";

interface Status {
  readonly stage: string;
  readonly outcome: string;
  readonly exit_class: string;
  readonly detail: Readonly<Record<string, unknown>>;
}

export interface ProxySetup {
  /** The command up to its own arguments, e.g. `deno run -P=run src/cli/soth_mitm.ts`. */
  readonly command: readonly string[];
  /** Holds the state directory, which proxies of one benchmark share, and the logs. */
  readonly folder: string;
  /** The certificate that servers are verified against. */
  readonly trustPath: string;
}

export interface Handshakes {
  readonly all: number;
  /** Those of them that went on with an earlier session. */
  readonly resumed: number;
}

export interface LogFacts {
  readonly events: number;
  readonly flows: number;
  readonly exchanges: number;
  /** How many events of each kind there are. */
  readonly kinds: ReadonlyMap<string, number>;
  /** Handshakes that came off, by the side they were with. */
  readonly handshakes: Readonly<Record<"client" | "server", Handshakes>>;
  readonly bytes: number;
  /** What `log verify` would say, or what no exchange of a benchmark may end as. */
  readonly faults: readonly string[];
}

/** The `start` task of deno.json, to be run by this very Deno. */
export function startCommand(): string[] {
  const config = JSON.parse(Deno.readTextFileSync("deno.json")) as { tasks: { [name: string]: string } };
  const task = config.tasks["start"];
  if (task === undefined || !task.startsWith("deno run ")) {
    throw new Error(
      "deno.json has no task start that is a plain deno run; name what to measure with --proxy",
    );
  }
  return [Deno.execPath(), ...task.split(" ").slice(1)];
}

/** Adds options of `deno run`, where the command is one. */
export function withRunOptions(command: readonly string[], options: readonly string[]): string[] {
  const [program, verb, ...rest] = command;
  if (program === undefined || verb !== "run") {
    throw new Error(`Cannot profile ${command.join(" ")}: it is not a deno run`);
  }
  return [program, verb, ...options, ...rest];
}

let started = 0;

export class ProxyUnderTest {
  private constructor(
    readonly child: Child,
    readonly address: string,
    readonly caPath: string,
    readonly logPath: string,
    /** From spawn to the ready line. */
    readonly readyMs: number,
  ) {}

  /** `settings`: more of them, as TOML. */
  static async start(
    setup: ProxySetup,
    decision: "intercept" | "tunnel",
    settings = "",
  ): Promise<ProxyUnderTest> {
    const logPath = `${setup.folder}/${decision}-${++started}.jsonl`;
    const configPath = `${setup.folder}/config-${started}.toml`;
    const trust = `[tls]\nupstream_trust = ${JSON.stringify(setup.trustPath)}\n`;
    await Deno.writeTextFile(configPath, trust + settings);
    const args = [
      ...["--listen", "127.0.0.1:0", "--status-lines", "--quiet", "--default", decision],
      ...["--config", configPath, "--state-dir", `${setup.folder}/state`, "--events", logPath],
    ];
    const child = new Child(`soth-mitm (${decision})`, [...setup.command, ...args], "stderr");
    const ready = await child.line((line) => {
      if (!line.startsWith(STATUS_MARK)) return null;
      const status = JSON.parse(line.slice(STATUS_MARK.length)) as Status;
      return status.outcome === "ready" || status.stage === "exit" ? status : null;
    });
    const readyMs = performance.now() - child.startedAt;
    if (ready.outcome !== "ready") {
      throw new Error(`The proxy did not start: ${ready.exit_class} ${JSON.stringify(ready.detail)}`);
    }
    const [address = ""] = ready.detail["listen"] as string[];
    return new ProxyUnderTest(child, address, ready.detail["ca_cert_path"] as string, logPath, readyMs);
  }

  /** Stops it politely. */
  async stop(): Promise<void> {
    const { code } = await this.child.stop("SIGTERM");
    if (code !== 0 && Deno.build.os !== "windows") {
      throw new Error(`The proxy ended with code ${code} after SIGTERM`);
    }
  }
}

/** Reads a whole log. An exchange or a flow that did not end as it should is a fault here. */
export async function verifyLog(path: string): Promise<LogFacts> {
  const verifier = new LogVerifier();
  const endings = new Map<string, number>();
  const kinds = new Map<string, number>();
  const handshakes = { client: { all: 0, resumed: 0 }, server: { all: 0, resumed: 0 } };
  let bytes = 0;
  for await (const line of readLog(path)) {
    bytes += line.bytes.length + 1;
    const broken = line.end === "newline" ? verifier.line(line.bytes, line) : verifier.torn(line.bytes, line);
    if (broken !== null) break;
    const kind = verifier.lastEvent?.["kind"];
    if (typeof kind === "string") kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    const attributes = verifier.lastEvent?.["attributes"] as Readonly<Record<string, unknown>> | undefined;
    const side = attributes?.["side"];
    if (kind === "tls_handshake_succeeded" && (side === "client" || side === "server")) {
      handshakes[side].all++;
      if (attributes?.["resumed"] === true) handshakes[side].resumed++;
    }
    const ending = attributes?.["outcome"] ?? attributes?.["reason_code"];
    // The proxy is stopped by us, sometimes with flows still open.
    if (typeof ending !== "string" || ending === "complete" || ending === "shutdown") continue;
    endings.set(ending, (endings.get(ending) ?? 0) + 1);
  }
  const { violation, events, flows, exchanges, openFlows } = verifier.finish();
  const faults = [...endings].map(([ending, count]) => `${count} ended as ${ending}`);
  if (violation !== null) {
    faults.push(`line ${violation.lineNumber} breaks ${violation.invariant}: ${violation.detail}`);
  }
  if (openFlows > 0) faults.push(`${openFlows} flows have no stream_closed`);
  return { events, flows, exchanges, kinds, handshakes, bytes, faults };
}
