/** What a running command says on standard error: status lines for programs, notices and lines for people. */
import type { Notice } from "../runtime/running_proxy.ts";
import { StartError } from "../runtime/start_error.ts";
import type { Console } from "./console.ts";
import { EXIT_CODES, type ExitClass } from "./exit.ts";
import { LOG_LEVELS, type LogLevel } from "./run_options.ts";
import { ended, type Status, type StatusDetail, statusLine } from "./status_lines.ts";
import { UsageError } from "./usage_error.ts";

export interface ReporterOptions {
  readonly statusLines: boolean;
  readonly quiet: boolean;
  readonly logLevel: LogLevel;
}

export class Reporter {
  constructor(private readonly console: Console, private readonly options: ReporterOptions) {}

  /** Whether a person watches and wants to. */
  get talkative(): boolean {
    return this.console.stderrIsTerminal && !this.options.quiet;
  }

  get colour(): boolean {
    return this.console.stderrIsTerminal && !this.console.noColour;
  }

  status(status: Status): void {
    if (this.options.statusLines) this.console.stderr(statusLine(status));
  }

  readonly notice = ({ level, message }: Notice): void => {
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(this.options.logLevel)) return;
    const prefix = level === "info" ? "" : `${level === "warn" ? "warning" : level}: `;
    this.console.stderr(`soth-mitm: ${prefix}${message}\n`);
  };

  /** Text for a person, as it is. */
  say(text: string): void {
    this.console.stderr(text);
  }

  /** The last line, and the exit code. */
  end(exitClass: ExitClass, detail: StatusDetail = {}, exitCode: number = EXIT_CODES[exitClass]): number {
    this.status(ended(exitCode, exitClass, detail));
    return exitCode;
  }

  /** Ends with what went wrong. A failure that nobody foresaw is ours, and comes with its stack. */
  fail(error: unknown): number {
    const exitClass = classOf(error);
    const message = error instanceof Error ? error.message : String(error);
    const unforeseen = exitClass === "runtime_failed" && error instanceof Error && error.stack !== undefined;
    this.console.stderr(
      unforeseen
        ? `soth-mitm: this is a bug in soth-mitm; please report it: ${error.stack}\n`
        : `soth-mitm: ${message}\n`,
    );
    if (exitClass === "usage") this.console.stderr("soth-mitm --help tells all commands and options\n");
    return this.end(exitClass, { message });
  }
}

function classOf(error: unknown): ExitClass {
  if (error instanceof UsageError) return "usage";
  return error instanceof StartError ? error.exitClass : "runtime_failed";
}
