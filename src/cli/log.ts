/**
 * `soth-mitm log SUBCOMMAND FILE`: reads an event log with all its segments, in constant memory.
 *
 * Exit codes: 0 what was asked for, 1 the log is not whole or does not hold all of it (a log cut off by a crash is
 * whole up to its end), 2 usage or a file that cannot be read.
 */
import { visible } from "../log/visible.ts";
import { nearest } from "../runtime/config/suggest.ts";
import { explainFault } from "../runtime/sinks/sink.ts";
import type { CommandOutput, LogSubcommand } from "./log/command.ts";
import { CURL } from "./log/curl.ts";
import { HAR } from "./log/har.ts";
import { SHOW } from "./log/show.ts";
import { VERIFY } from "./log/verify.ts";
import { has, parseArguments } from "./options.ts";
import { UsageError } from "./usage_error.ts";

/** `args` are those after `log`. The result is the exit code. */
export async function logCommand(args: string[], io: CommandOutput): Promise<number> {
  const [name, ...rest] = args;
  if (name === undefined) return usage(io, `a subcommand is missing; there are ${names}`);
  if (name === "--help" || name === "-h") {
    io.stdout(HELP);
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command === undefined) {
    const near = name.startsWith("-") ? "--help" : nearest(name, Object.keys(COMMANDS));
    return usage(io, `${name} is not a subcommand of log; there are ${names} (did you mean ${near}?)`);
  }
  let file = "";
  try {
    const parsed = parseArguments(rest, command.options);
    if (has(parsed, "help")) {
      io.stdout(command.help);
      return 0;
    }
    const [first, extra] = [...parsed.positionals, ...parsed.rest ?? []];
    if (first === undefined) throw new UsageError(`the FILE to read is missing: soth-mitm log ${name} FILE`);
    if (extra !== undefined) throw new UsageError(`log ${name} reads one FILE; found ${extra} too`);
    file = first;
    return await command.run(file, parsed, io);
  } catch (fault) {
    if (!(fault instanceof Error)) throw fault;
    if (fault instanceof UsageError) return usage(io, fault.message);
    const reason = fault instanceof Deno.errors.NotFound ? "there is no such file" : explainFault(fault);
    return usage(io, `cannot read ${file}: ${reason}`);
  }
}

const COMMANDS: Readonly<Record<string, LogSubcommand>> = {
  show: SHOW,
  verify: VERIFY,
  curl: CURL,
  har: HAR,
};

const names = Object.keys(COMMANDS).join(", ").replace(/, (?=[a-z]+$)/, " and ");

const HELP =
  Object.entries(COMMANDS).map(([name, { summary }], index) =>
    `${index === 0 ? "Usage:" : "      "} soth-mitm log ${name.padEnd(6)} FILE    ${summary}\n`
  ).join("") + `
"soth-mitm log SUBCOMMAND --help" tells the options of each.
`;

function usage(io: CommandOutput, message: string): number {
  io.stderr(`soth-mitm: ${visible(message)}\n`);
  return 2;
}
