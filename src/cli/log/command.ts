/** What the subcommands of `log` have in common. */
import type { OptionSpecs, ParsedArguments } from "../options.ts";

export interface CommandOutput {
  stdout(text: string): void;
  stderr(text: string): void;
  /** Whether standard output takes colour. */
  readonly colour: boolean;
}

export interface LogSubcommand {
  /** What `log --help` says of it. */
  readonly summary: string;
  readonly help: string;
  readonly options: OptionSpecs;
  /** Throws a `UsageError`, or what the platform throws where a file cannot be read. The result is the exit code. */
  run(file: string, parsed: ParsedArguments, io: CommandOutput): Promise<number>;
}

export const HELP_OPTION = { help: { help: "print this text" } } as const satisfies OptionSpecs;

export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
