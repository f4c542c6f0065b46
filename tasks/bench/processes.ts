/**
 * The processes of a benchmark: started, known by the first line they print, looked at from outside (CPU time,
 * resident memory) and always ended. Each baseline is a process of its own, as the proxy is.
 */
import { fileURLToPath } from "node:url";
import { plainEnvironment } from "../../tests/support/tools.ts";

const READY_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 30_000;

const alive = new Set<Child>();

/** For the end of the benchmark, however it came: no process stays behind. */
export async function stopEverything(): Promise<void> {
  await Promise.all([...alive].map((child) => child.stop("SIGKILL")));
}

/** A child process read line by line. */
export class Child {
  readonly startedAt = performance.now();
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  /** What the watched stream said and nobody has asked for yet. */
  #lines: string[] = [];
  #wake: (() => void) | null = null;
  #said = "";
  #exit: Promise<Deno.CommandStatus> | null = null;
  /** Both streams are always read: a process whose pipe is full stands still. */
  readonly #reading: Promise<unknown>;
  #ended = false;

  constructor(readonly name: string, command: readonly string[], read: "stdout" | "stderr") {
    const [program, ...args] = command;
    this.#process = new Deno.Command(program!, {
      args,
      env: plainEnvironment(),
      clearEnv: true,
      stdin: "piped",
      stdout: read === "stdout" ? "piped" : "null",
      stderr: "piped",
    }).spawn();
    alive.add(this);
    this.#process.status.then(() => alive.delete(this));
    this.#writer = this.#process.stdin.getWriter();
    const reading = [this.#watch(read === "stdout" ? this.#process.stdout : this.#process.stderr)];
    if (read === "stdout") reading.push(this.#collect(this.#process.stderr));
    this.#reading = Promise.all(reading);
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** The next line that `wanted` makes something of. Throws when the process ends or takes too long. */
  async line<Value>(wanted: (line: string) => Value | null, limitMs = READY_LIMIT_MS): Promise<Value> {
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      this.#kill("SIGKILL");
    }, limitMs);
    try {
      for (;;) {
        const line = this.#lines.shift();
        if (line !== undefined) {
          const made = wanted(line);
          if (made !== null) return made;
          this.#said += line + "\n";
        } else if (this.#ended) {
          break;
        } else {
          await new Promise<void>((resolve) => this.#wake = resolve);
        }
      }
    } finally {
      clearTimeout(timer);
    }
    const { code } = await this.#process.status;
    await this.#reading;
    const why = timedOut ? `said nothing for ${limitMs} ms` : `ended with code ${code}`;
    throw new Error(`${this.name} ${why}\n${this.said}`);
  }

  /** Everything it has written that nobody asked for. */
  get said(): string {
    return this.#said + this.#lines.join("\n");
  }

  async write(line: string): Promise<void> {
    await this.#writer.write(new TextEncoder().encode(line + "\n"));
  }

  /** Ends it by closing its standard input, which the baselines and peers watch, or by a signal. */
  stop(signal: Deno.Signal | null): Promise<Deno.CommandStatus> {
    this.#exit ??= this.#stop(signal);
    return this.#exit;
  }

  async #stop(signal: Deno.Signal | null): Promise<Deno.CommandStatus> {
    this.#writer.close().catch(() => {});
    // Windows has no signals to send; the process ends at once there.
    if (signal !== null) this.#kill(Deno.build.os === "windows" ? "SIGKILL" : signal);
    const timer = setTimeout(() => this.#kill("SIGKILL"), STOP_LIMIT_MS);
    const status = await this.#process.status;
    clearTimeout(timer);
    await this.#reading;
    return status;
  }

  #kill(signal: Deno.Signal): void {
    try {
      this.#process.kill(signal);
    } catch {
      // It has ended.
    }
  }

  async #watch(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const line of linesOf(stream)) {
      this.#lines.push(line);
      this.#wake?.();
    }
    this.#ended = true;
    this.#wake?.();
  }

  async #collect(stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> {
    for await (const line of linesOf(stream)) this.#said += line + "\n";
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    yield* lines;
  }
  if (rest !== "") yield rest;
}

/** What a process has used; null is what the platform does not tell. */
export interface Usage {
  /** CPU time since the process began, of the whole process and of the thread that runs its JavaScript. */
  readonly processMs: number | null;
  readonly mainThreadMs: number | null;
  readonly residentBytes: number | null;
}

/** Asks the peers, since Deno itself reads `/proc` only for programs that may do everything. */
export class UsageReader {
  readonly #child: Child;

  constructor(peers: string) {
    this.#child = new Child("usage", [peers, "usage"], "stdout");
  }

  /** One question at a time. */
  async of(pid: number): Promise<Usage> {
    await this.#child.write(String(pid));
    return await this.#child.line(jsonLine<Usage>);
  }
}

/** What a line of JSON on standard output says; the first line of baselines and peers. */
export function jsonLine<Value>(line: string): Value | null {
  return line.startsWith("{") ? JSON.parse(line) as Value : null;
}

const FOLDER = fileURLToPath(new URL(".", import.meta.url));

/** Starts one of the baselines of this folder; gives its address. */
export async function startBaseline(
  name: string,
  file: string,
  args: readonly string[],
  readable: string,
): Promise<{ child: Child; address: string }> {
  const grants = [
    "--no-prompt",
    "--quiet",
    "--allow-net=localhost,127.0.0.1,[::1]",
    `--allow-read=${readable}`,
  ];
  const child = new Child(name, [Deno.execPath(), "run", ...grants, `${FOLDER}${file}`, ...args], "stdout");
  const { port } = await child.line(jsonLine<{ port: number }>);
  return { child, address: `127.0.0.1:${port}` };
}

/** Builds the peers; null when there is no Go. Throws what the compiler says otherwise. */
export async function buildPeers(folder: string): Promise<string | null> {
  const path = `${folder}/peers${Deno.build.os === "windows" ? ".exe" : ""}`;
  const sources = ["peers", "origin", "load", "http2", "observed", "websocket", "usage"].map((name) =>
    `${FOLDER}${name}.go`
  );
  try {
    const { success, stderr } = await new Deno.Command("go", { args: ["build", "-o", path, ...sources] })
      .output();
    if (success) return path;
    throw new Error(`go build failed:\n${new TextDecoder().decode(stderr)}`);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}
