/**
 * Command-line options: `--name`, `--name VALUE`, `--name=VALUE`, and `--` before what belongs to another
 * program. `@std/cli` parses them; what it would let pass in silence is refused here.
 */
import { parseArgs } from "@std/cli/parse-args";
import { didYouMean } from "../runtime/config/suggest.ts";
import { UsageError } from "./usage_error.ts";

// The package carries no types for this entry of the import map.
const parseFlags = parseArgs as (args: string[], options: {
  readonly string: readonly string[];
  readonly boolean: readonly string[];
  readonly collect: readonly string[];
  /** Without a key for a positional; false keeps the argument out of the result. */
  readonly unknown: (argument: string, key?: string) => boolean;
}) => Readonly<Record<string, readonly (string | boolean)[]>>;

export interface OptionSpec {
  /** What stands for the value in the help; without one the option is a switch. */
  readonly value?: string;
  readonly repeats?: boolean;
  readonly help: string;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

export interface ParsedArguments {
  /** What was given for each option, by its name without hyphens; a switch has `true`. */
  readonly values: ReadonlyMap<string, readonly (string | boolean)[]>;
  readonly positionals: readonly string[];
  /** What followed `--`; null without one. */
  readonly rest: readonly string[] | null;
  /** What stood before `--`, for the order across options. */
  readonly own: readonly string[];
}

/** Throws a `UsageError` that names what is wrong and the nearest option there is. */
export function parseArguments(args: readonly string[], specs: OptionSpecs): ParsedArguments {
  const names = Object.keys(specs);
  const switches = names.filter((name) => specs[name]?.value === undefined);
  const withValue = names.filter((name) => specs[name]?.value !== undefined);
  const dashes = args.indexOf("--");
  const own = bindHyphens(dashes < 0 ? args : args.slice(0, dashes), names, withValue);
  const positionals: string[] = [];
  const flags = parseFlags(own, {
    string: withValue,
    boolean: switches,
    collect: names,
    unknown(argument, key) {
      if (key !== undefined) throw unknownOption(argument, names);
      positionals.push(argument);
      return false;
    },
  });
  refuseUnseen(own, names, switches);
  for (const name of names) {
    const { value, repeats } = specs[name]!;
    const given = flags[name] ?? [];
    if (given.length > 1 && repeats !== true) {
      throw new UsageError(`--${name} is given twice; once is allowed`);
    }
    if (given.includes("")) throw new UsageError(`--${name} needs an argument: --${name} ${value}`);
  }
  const values = new Map(names.map((name) => [name, flags[name] ?? []]));
  return { values, positionals, rest: dashes < 0 ? null : args.slice(dashes + 1), own };
}

/**
 * `parseArgs` takes nothing that begins with a hyphen for a value, unless an equals sign says so: `--events -`
 * becomes `--events=-`. What is an option was meant as one.
 */
function bindHyphens(
  args: readonly string[],
  names: readonly string[],
  withValue: readonly string[],
): string[] {
  const bound: string[] = [];
  for (const argument of args) {
    const last = bound.at(-1) ?? "";
    const takes = last.startsWith("--") && withValue.includes(last.slice(2));
    if (takes && argument.startsWith("-") && optionOf(argument, names) === null) {
      bound.push(`${bound.pop()}=${argument}`);
    } else bound.push(argument === "-h" ? "--help" : argument);
  }
  return bound;
}

/** `parseArgs` reads `--quiet=x` and `--quiet true` as `--quiet`, and `--no-listen=x` as `--listen x`. */
function refuseUnseen(own: readonly string[], names: readonly string[], switches: readonly string[]): void {
  for (const [index, argument] of own.entries()) {
    const equals = argument.indexOf("=");
    if (argument.startsWith("--no-") && equals > 0 && optionOf(argument, names) === null) {
      throw unknownOption(argument, names);
    }
    const name = optionOf(argument, switches);
    if (name === null) continue;
    const next = own[index + 1];
    const found = equals > 0 ? argument.slice(equals + 1) : next === "true" || next === "false" ? next : null;
    if (found !== null) throw new UsageError(`--${name} takes no value; found ${found}`);
  }
}

function optionOf(argument: string, names: readonly string[]): string | null {
  const [written = ""] = argument.split("=", 1);
  return names.find((name) => written === `--${name}`) ?? null;
}

function unknownOption(argument: string, names: readonly string[]): UsageError {
  const [written = ""] = argument.split("=", 1);
  return new UsageError(`unknown option ${written}${didYouMean(written, names.map((name) => `--${name}`))}`);
}

export function valuesOf(parsed: ParsedArguments, name: string): string[] {
  return (parsed.values.get(name) ?? []).filter((value) => typeof value === "string");
}

/** The values of several options together, in the order in which they were given. */
export function valuesInOrder<Name extends string>(
  parsed: ParsedArguments,
  names: readonly Name[],
): { name: Name; value: string }[] {
  const left = new Map(names.map((name) => [name, valuesOf(parsed, name).values()]));
  return parsed.own.flatMap((argument) => {
    const name = names.find((name) => name === optionOf(argument, names));
    const value = name === undefined ? undefined : left.get(name)?.next().value;
    return name === undefined || value === undefined ? [] : [{ name, value }];
  });
}

export function has(parsed: ParsedArguments, name: string): boolean {
  return (parsed.values.get(name) ?? []).length > 0;
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
