/** Standard output and error as the commands see them; a test gives its own. */

export interface Console {
  stdout(text: string): void;
  stderr(text: string): void;
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** The user's wish for none (no-color.org). */
  readonly noColour: boolean;
}

export function systemConsole(environment: Readonly<Record<string, string | undefined>>): Console {
  return {
    stdout: (text) => writeWhole(Deno.stdout, text),
    stderr: (text) => writeWhole(Deno.stderr, text),
    stdinIsTerminal: Deno.stdin.isTerminal(),
    stdoutIsTerminal: Deno.stdout.isTerminal(),
    stderrIsTerminal: Deno.stderr.isTerminal(),
    noColour: (environment["NO_COLOR"] ?? "") !== "",
  };
}

const encoder = new TextEncoder();

function writeWhole(stream: { writeSync(data: Uint8Array): number }, text: string): void {
  let rest = encoder.encode(text);
  try {
    while (rest.length > 0) rest = rest.subarray(stream.writeSync(rest));
  } catch {
    // Whoever read this has gone; what was to be said has no other place to go.
  }
}

/**
 * Lines for a terminal, written without holding up the proxy: a terminal that is stopped (Ctrl-S) or slow
 * loses lines and is told how many. The event log is what keeps everything.
 */
export class TerminalLines {
  #waiting: string[] = [];
  #lost = 0;
  #writing = false;
  #drained: Promise<void> = Promise.resolve();

  constructor(
    private readonly stream: { write(data: Uint8Array): Promise<number> },
    private readonly linesMax = 1_000,
  ) {}

  write(line: string): void {
    if (this.#waiting.length >= this.linesMax) {
      this.#lost++;
      return;
    }
    this.#waiting.push(line);
    if (!this.#writing) this.#drained = this.#drain();
  }

  /** Resolves when what was given is written, or after `limitMs`: the end does not wait for a stopped terminal. */
  async flush(limitMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const limit = new Promise<void>((resolve) => timer = setTimeout(resolve, limitMs));
    await Promise.race([this.#drained, limit]);
    clearTimeout(timer);
  }

  async #drain(): Promise<void> {
    this.#writing = true;
    try {
      while (this.#waiting.length > 0) {
        let text = this.#waiting.join("\n") + "\n";
        if (this.#lost > 0) text += `(${this.#lost} more lines, faster than this terminal)\n`;
        this.#waiting = [];
        this.#lost = 0;
        let rest = encoder.encode(text);
        while (rest.length > 0) rest = rest.subarray(await this.stream.write(rest));
      }
      this.#writing = false;
    } catch {
      // The terminal is gone. It stays "writing", so that nothing is tried again and lines are only counted.
    }
  }
}
