/**
 * The real proxy, as a process of its own: started by the arguments of `deno task start`, known by its status
 * lines, and never let go without its event log having passed `log verify`.
 */
import { assertEquals } from "@std/assert";
import { denoEnvironment, run } from "./tools.ts";

export interface ProxyOptions {
  /** More arguments of `soth-mitm run`. */
  readonly args?: readonly string[];
  /** TOML, written to a file of its own and given as `--config`. */
  readonly config?: string;
  /** At most that many file descriptors (not on Windows). */
  readonly descriptors?: number;
  /** Go on with the state and the log of an earlier proxy. */
  readonly folder?: LaneFolder;
}

/** Where a proxy of a test keeps its things; logs go to the lane's report where there is one. */
export interface LaneFolder {
  readonly state: string;
  readonly log: string;
}

export interface LogEvent {
  readonly kind: string;
  readonly flow_id: string;
  readonly protocol: string;
  readonly stream_key: string;
  readonly client_addr: string;
  readonly server_host: string | null;
  readonly server_port: number;
  readonly attributes: { readonly [name: string]: unknown };
}

export interface Status {
  readonly stage: string;
  readonly outcome: string;
  readonly exit_code: number;
  readonly exit_class: string;
  readonly detail: { readonly [name: string]: unknown };
}

const READY_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 20_000;

/** The command line of a task in `deno.json`, to be run by this very Deno. */
export function taskCommand(name: string): string[] {
  const config = JSON.parse(Deno.readTextFileSync("deno.json")) as { tasks: { [name: string]: string } };
  const task = config.tasks[name];
  if (task === undefined || !task.startsWith("deno ")) {
    throw new Error(`deno.json has no plain deno task ${name}`);
  }
  return task.split(" ").slice(1);
}

/** `soth-mitm COMMAND …` to its end. */
export function soth(command: string, args: readonly string[], options: { timeoutMs?: number } = {}) {
  const all = { ...options, wholeEnv: denoEnvironment() };
  return run(Deno.execPath(), [...taskCommand("start"), command, ...args], all);
}

let logs = 0;

export async function makeLaneFolder(name: string): Promise<LaneFolder> {
  const state = await Deno.makeTempDir({ prefix: "soth-mitm-lane-" });
  const report = Deno.env.get("LANE_REPORT_DIR");
  const log = report === undefined ? `${state}/events.jsonl` : `${report}/${name}-${++logs}.jsonl`;
  return { state, log };
}

export class ProxyProcess {
  readonly host: string;
  readonly port: number;
  readonly caPath: string;
  readonly pid: number;
  readonly statuses: Status[] = [];
  /** What standard error carried beside the status lines. */
  stderr = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;
  #exited: number | null = null;
  #events: LogEvent[] = [];
  #readBytes = 0;
  /** Where our own marks came from that the log does not have yet. */
  readonly #marks = new Set<string>();

  private constructor(
    child: Deno.ChildProcess,
    readonly folder: LaneFolder,
    ready: Status,
    reader: StderrReader,
  ) {
    this.#child = child;
    const listen = (ready.detail.listen as string[])[0] ?? "";
    const colon = listen.lastIndexOf(":");
    this.host = listen.slice(0, colon);
    this.port = Number(listen.slice(colon + 1));
    this.caPath = ready.detail.ca_cert_path as string;
    this.pid = ready.detail.pid as number;
    this.statuses.push(...reader.statuses);
    this.#reading = this.#collect(reader);
  }

  static async start(name: string, options: ProxyOptions = {}): Promise<ProxyProcess> {
    const folder = options.folder ?? await makeLaneFolder(name);
    const args = [
      ...taskCommand("start"),
      ...["--listen", "127.0.0.1:0", "--status-lines", "--quiet"],
      ...["--state-dir", `${folder.state}/state`, "--events", folder.log],
    ];
    if (options.config !== undefined) {
      const path = `${folder.state}/config.toml`;
      await Deno.writeTextFile(path, options.config);
      args.push("--config", path);
    }
    args.push(...options.args ?? []);
    const [program, ...programArgs] = options.descriptors === undefined
      ? [Deno.execPath(), ...args]
      : ["sh", "-c", `ulimit -n ${options.descriptors} && exec "$@"`, "sh", Deno.execPath(), ...args];
    const child = new Deno.Command(program!, {
      args: programArgs,
      env: denoEnvironment(),
      clearEnv: true,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    const reader = new StderrReader(child.stderr);
    const timer = setTimeout(() => child.kill("SIGKILL"), READY_LIMIT_MS);
    const ready = await reader.until((status) => status.outcome === "ready" || status.stage === "exit");
    clearTimeout(timer);
    if (ready?.outcome !== "ready") {
      const { code } = await child.status;
      throw new Error(
        `The proxy did not start (exit ${code}): ${JSON.stringify(ready?.detail)}\n${reader.rest}`,
      );
    }
    return new ProxyProcess(child, folder, ready, reader);
  }

  get url(): string {
    return `http://${this.host}:${this.port}`;
  }

  get authority(): string {
    return `${this.host}:${this.port}`;
  }

  /** Stops it politely, and expects the exit of a clean stop and a log that verifies. */
  async stop(): Promise<void> {
    assertEquals(await this.kill("SIGTERM"), 0, `exit code after SIGTERM\n${this.stderr}`);
    assertEquals(this.statuses.at(-1)?.stage, "exit");
    assertEquals(this.statuses.at(-1)?.exit_class, "ok");
    await this.verifyLog();
  }

  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It ended by itself, which its exit code tells.
      if (!(error instanceof TypeError)) throw error;
    }
  }

  /** Waits until nobody listens any more. */
  async refusesConnections(): Promise<void> {
    for (;;) {
      try {
        (await Deno.connect({ hostname: this.host, port: this.port })).close();
      } catch {
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** Sends a signal and waits for the end; gives the exit code. */
  async kill(signal: Deno.Signal): Promise<number> {
    if (this.#exited !== null) return this.#exited;
    // Windows has no signals to send; the process ends at once there.
    this.signal(Deno.build.os === "windows" ? "SIGKILL" : signal);
    const timer = setTimeout(() => this.signal("SIGKILL"), STOP_LIMIT_MS);
    const { code } = await this.#child.status;
    clearTimeout(timer);
    await this.#reading;
    this.#exited = code;
    return code;
  }

  /** For `finally`: whatever happened before, neither process nor state stays behind. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGKILL");
    await Deno.remove(this.folder.state, { recursive: true });
  }

  async verifyLog(): Promise<string> {
    const { code, stdout, stderr } = await soth("log", ["verify", this.folder.log]);
    assertEquals(code, 0, `log verify ${this.folder.log}\n${stdout}${stderr}`);
    return stdout + stderr;
  }

  /** The events so far, whole lines only, without the opening line. */
  async events(): Promise<LogEvent[]> {
    const file = await Deno.open(this.folder.log);
    try {
      await file.seek(this.#readBytes, Deno.SeekMode.Start);
      const bytes = new Uint8Array(await new Response(file.readable).arrayBuffer());
      const end = bytes.lastIndexOf(0x0a) + 1;
      this.#readBytes += end;
      for (const line of new TextDecoder().decode(bytes.subarray(0, end)).split("\n")) {
        if (line === "") continue;
        const event = JSON.parse(line) as LogEvent;
        if (event.kind !== "log_opened") this.#take(event);
      }
    } finally {
      try {
        file.close();
      } catch {
        // Reading to the end has closed it.
      }
    }
    return [...this.#events];
  }

  /** Waits until the log holds an event that `met` accepts. The log grows by itself, so this polls. */
  async eventually(what: string, met: (event: LogEvent) => boolean): Promise<LogEvent> {
    const limit = performance.now() + 10_000;
    for (;;) {
      const found = (await this.events()).find(met);
      if (found !== undefined) return found;
      if (performance.now() > limit) {
        throw new Error(`The log did not get ${what} within 10 s\n${this.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /** All events of the first flow with an event that `met` accepts, once the flow is over. */
  async flow(what: string, met: (event: LogEvent) => boolean): Promise<LogEvent[]> {
    const { flow_id } = await this.eventually(what, met);
    await this.eventually(
      `the end of flow ${flow_id}`,
      (event) => event.kind === "stream_closed" && event.flow_id === flow_id,
    );
    return (await this.events()).filter((event) => event.flow_id === flow_id);
  }

  /** The events after the first `count`, once every flow that was accepted before this call is over. */
  async eventsAfter(count: number): Promise<LogEvent[]> {
    const limit = performance.now() + 10_000;
    await this.#pastMark();
    for (;;) {
      const events = (await this.events()).slice(count);
      const open = new Set(events.map(({ flow_id }) => flow_id));
      for (const { kind, flow_id } of events) if (kind === "stream_closed") open.delete(flow_id);
      if (events.length > 0 && open.size === 0) return events;
      if (performance.now() > limit) {
        throw new Error(`Flows did not end within 10 s: ${[...open].join(", ")}\n${this.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  /**
   * The log lags behind what clients have seen. So a connection of our own is opened and closed: when that is in the
   * log, all flows before it are. Nobody else gets to see its flow.
   */
  async #pastMark(): Promise<void> {
    const mark = await Deno.connect({ hostname: this.host, port: this.port });
    const { hostname, port } = mark.localAddr as Deno.NetAddr;
    mark.close();
    const address = hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
    this.#marks.add(address);
    const limit = performance.now() + 10_000;
    while (this.#marks.has(address)) {
      await this.events();
      if (performance.now() > limit) throw new Error(`The log did not get to ${address}\n${this.stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }

  #take(event: LogEvent): void {
    const isEndOfMark = event.kind === "stream_closed" && event.attributes["bytes_from_client"] === 0 &&
      this.#marks.delete(event.client_addr);
    // Behind a reverse listener it has a beginning as well.
    if (isEndOfMark) this.#events = this.#events.filter(({ flow_id }) => flow_id !== event.flow_id);
    else this.#events.push(event);
  }

  async #collect(reader: StderrReader): Promise<void> {
    for (;;) {
      const status = await reader.until(() => true);
      this.stderr = reader.rest;
      if (status === null) break;
      this.statuses.push(status);
    }
  }
}

/** Standard error, told apart into status lines and the rest. */
class StderrReader {
  readonly statuses: Status[] = [];
  rest = "";
  #text = "";
  readonly #reader: ReadableStreamDefaultReader<string>;

  constructor(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
    this.#reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next status that `met` accepts, or null when the stream has ended. */
  async until(met: (status: Status) => boolean): Promise<Status | null> {
    for (;;) {
      const end = this.#text.indexOf("\n");
      if (end === -1) {
        const { done, value } = await this.#reader.read();
        if (done) return null;
        this.#text += value;
        continue;
      }
      const line = this.#text.slice(0, end);
      this.#text = this.#text.slice(end + 1);
      const [mark, json] = line.split("\t");
      if (mark !== "SOTH_MITM_STATUS" || json === undefined) {
        this.rest += line + "\n";
        continue;
      }
      const status = JSON.parse(json) as Status;
      this.statuses.push(status);
      if (met(status)) return status;
    }
  }
}
