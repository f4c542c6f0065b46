/** The options of one `ca` command: `--name`, `--name VALUE` or `--name=VALUE`, each at most once. */
import { didYouMean } from "../runtime/config/suggest.ts";

export type OptionTable = Readonly<Record<string, { readonly takesValue: boolean }>>;

/** A command line that cannot be meant; exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";

  static unknown(what: string, given: string, allowed: readonly string[]): UsageError {
    return new UsageError(
      `unknown ${what} ${JSON.stringify(given)}${didYouMean(given, allowed)}; allowed: ${allowed.join(", ")}`,
    );
  }
}

/** Options without a value map to the empty string. Throws UsageError. */
export function parseOptions(args: readonly string[], table: OptionTable): Map<string, string> {
  const names = Object.keys(table).map((name) => `--${name}`);
  const options = new Map<string, string>();
  for (let index = 0; index < args.length; index++) {
    const argument = args[index]!;
    if (argument === "-h") {
      options.set("help", "");
      continue;
    }
    if (!argument.startsWith("--")) {
      throw new UsageError(`unexpected argument ${JSON.stringify(argument)}; allowed: ${names.join(", ")}`);
    }
    const equals = argument.indexOf("=");
    const written = equals === -1 ? argument : argument.slice(0, equals);
    const name = written.slice(2);
    const option = Object.hasOwn(table, name) ? table[name] : undefined;
    if (option === undefined) throw UsageError.unknown("option", written, names);
    if (options.has(name)) throw new UsageError(`${written} is given twice`);
    if (!option.takesValue) {
      if (equals !== -1) throw new UsageError(`${written} takes no value`);
      options.set(name, "");
      continue;
    }
    const value = equals === -1 ? args[++index] : argument.slice(equals + 1);
    if (value === undefined || value === "") throw new UsageError(`${written} needs a value`);
    options.set(name, value);
  }
  return options;
}
