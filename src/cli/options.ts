/**
 * Command-line options: `--name`, `--name VALUE`, `--name=VALUE`, and `--` before what belongs to another
 * program. The result keeps the order across options, which decides between `--block` and `--tunnel`.
 *
 * Own code and not the standard library's `parseArgs`, which loses that order, takes `-` and anything that
 * begins with a hyphen for an option, turns digits into numbers and `--quiet true` into one option.
 */
import { didYouMean } from "../runtime/config/suggest.ts";
import { UsageError } from "./usage_error.ts";

export interface OptionSpec {
  /** What stands for the value in the help; without one the option is a switch. */
  readonly value?: string;
  readonly repeats?: boolean;
  readonly help: string;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export interface GivenOption {
  /** Without its hyphens. */
  readonly name: string;
  /** Empty for a switch. */
  readonly value: string;
}

export interface ParsedArguments {
  readonly options: readonly GivenOption[];
  readonly positionals: readonly string[];
  /** What followed `--`; null without one. */
  readonly rest: readonly string[] | null;
}

/** Throws a `UsageError` that names what is wrong and the nearest option there is. */
export function parseArguments(args: readonly string[], specs: OptionSpecs): ParsedArguments {
  const options: GivenOption[] = [];
  const positionals: string[] = [];
  const names = Object.keys(specs).map((name) => `--${name}`);
  for (let index = 0; index < args.length; index++) {
    const argument = args[index] ?? "";
    if (argument === "--") return { options, positionals, rest: args.slice(index + 1) };
    if (argument === "-h") {
      options.push({ name: "help", value: "" });
      continue;
    }
    if (!argument.startsWith("-") || argument === "-") {
      positionals.push(argument);
      continue;
    }
    const equals = argument.indexOf("=");
    const written = equals < 0 ? argument : argument.slice(0, equals);
    const name = written.slice(2);
    const spec = written.startsWith("--") && Object.hasOwn(specs, name) ? specs[name] : undefined;
    if (spec === undefined) {
      throw new UsageError(`unknown option ${written}${didYouMean(written, names)}`);
    }
    if (spec.repeats !== true && options.some((given) => given.name === name)) {
      throw new UsageError(`${written} is given twice; once is allowed`);
    }
    if (spec.value === undefined) {
      if (equals >= 0) throw new UsageError(`${written} takes no value; found ${argument.slice(equals + 1)}`);
      options.push({ name, value: "" });
      continue;
    }
    const value = equals >= 0 ? argument.slice(equals + 1) : args[++index];
    // A value may begin with a hyphen (`--events -`), but one that is an option was meant as one.
    if (value === undefined || value === "" || (equals < 0 && isOption(value, names))) {
      throw new UsageError(`${written} needs an argument: ${written} ${spec.value}`);
    }
    options.push({ name, value });
  }
  return { options, positionals, rest: null };
}

function isOption(value: string, names: readonly string[]): boolean {
  return value === "--" || names.includes(value.split("=", 1)[0] ?? "");
}

export function valuesOf(parsed: ParsedArguments, name: string): string[] {
  return parsed.options.filter((given) => given.name === name).map(({ value }) => value);
}

export function has(parsed: ParsedArguments, name: string): boolean {
  return parsed.options.some((given) => given.name === name);
}

/** The options as lines of a help text. */
export function optionsHelp(specs: OptionSpecs): string {
  const rows = Object.entries(specs).map(([name, { value, repeats, help }]) => [
    `--${name}${value === undefined ? "" : ` ${value}`}`,
    repeats === true ? `${help} (may be repeated)` : help,
  ]);
  const width = Math.max(...rows.map(([left = ""]) => left.length));
  return rows.map(([left = "", right]) => `  ${left.padEnd(width)}  ${right}\n`).join("");
}
