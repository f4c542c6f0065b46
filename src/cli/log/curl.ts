/** `soth-mitm log curl FILE --exchange F/N`: a recorded request as a curl command that sends it again. */
import { planCurl } from "../../log/curl.ts";
import { RequestRecorder } from "../../log/recorded_request.ts";
import { curlCommand, type Shell, SHELLS } from "../../log/shell.ts";
import { visible } from "../../log/visible.ts";
import { didYouMean } from "../../runtime/config/suggest.ts";
import { optionsHelp, type OptionSpecs, type ParsedArguments, valuesOf } from "../options.ts";
import { UsageError } from "../usage_error.ts";
import { type CommandOutput, HELP_OPTION, type LogSubcommand } from "./command.ts";
import { EventReader } from "./events.ts";

const OPTIONS = {
  exchange: { value: "F/N", help: "the exchange, as log show calls it: 1-3/2" },
  shell: { value: "SHELL", help: "sh (default), powershell or cmd (at its prompt)" },
  ...HELP_OPTION,
} as const satisfies OptionSpecs;

export const CURL: LogSubcommand = {
  summary: "print a curl command that sends a request again",
  help: `Usage: soth-mitm log curl FILE --exchange F/N [OPTIONS]

Prints a command that sends a recorded request again. Whatever is in the request, the shell gives it to curl as it
is. What the command leaves out is said on standard error: values that were redacted, trailer fields, the
Content-Encoding of content that the log has decompressed. Content-Length, Transfer-Encoding and Connection are
left to curl, fields for the proxy are left out.
Exits with 1 where the log has no such request, or not all of its content; a command is then still printed, which
reads the content from a file that is to be made. FILE may be - for standard input.
curl.exe gets its arguments in the code page of the system, so that for powershell and cmd they are ASCII alone, and
other content is in a file. What PowerShell before 7.3 would pass on otherwise it refuses to run there.

${optionsHelp(OPTIONS)}`,
  options: OPTIONS,
  run: curl,
};

async function curl(file: string, parsed: ParsedArguments, io: CommandOutput): Promise<number> {
  const { flowId, exchangeId } = exchangeOf(parsed);
  const shell = shellOf(parsed);
  const recorder = new RequestRecorder(flowId, exchangeId);
  for await (const event of new EventReader(io).read(file)) {
    if (event !== null) recorder.event(event);
    if (recorder.completed) break;
  }
  const say = (text: string) => io.stderr(`soth-mitm: ${visible(text)}\n`);
  const request = recorder.finish();
  if (request === null) {
    say(`there is no request of exchange ${flowId}/${exchangeId} in ${file}; log show prints what there is`);
    return 1;
  }
  const plan = planCurl(request);
  if (plan === null) {
    say(`curl cannot send this again: it is a CONNECT`);
    return 1;
  }
  const { text, problems } = curlCommand(plan, shell);
  for (const note of [...plan.notes, ...problems]) say(note);
  io.stdout(text);
  return plan.lacking || problems.length > 0 ? 1 : 0;
}

function exchangeOf(parsed: ParsedArguments): { flowId: string; exchangeId: number } {
  const [value] = valuesOf(parsed, "exchange");
  if (value === undefined) throw new UsageError("log curl needs --exchange F/N, as log show prints it");
  const match = /^([0-9]+-[0-9]+)\/([0-9]{1,15})$/.exec(value);
  if (match !== null) return { flowId: match[1]!, exchangeId: Number(match[2]) };
  throw new UsageError(
    `--exchange: found ${JSON.stringify(value)}; allowed: flow and exchange, such as 1-3/2`,
  );
}

function shellOf(parsed: ParsedArguments): Shell {
  const [value = "sh"] = valuesOf(parsed, "shell");
  const shell = SHELLS.find((name) => name === value);
  if (shell !== undefined) return shell;
  throw new UsageError(
    `--shell: found ${JSON.stringify(value)}; allowed: ${SHELLS.join(", ")}${didYouMean(value, SHELLS)}`,
  );
}
