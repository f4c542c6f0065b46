/**
 * A command for a shell, such that the program gets exactly the arguments that are meant, whatever is in them, and
 * that printing it does nothing to a terminal. Arguments are strings of octets (a character of each is one octet).
 */
import { CONTENT, CONTENT_FILE, type CurlArgument, type CurlPlan, octetsOfText } from "./curl.ts";
import { visible } from "./visible.ts";

export const SHELLS = ["sh", "powershell", "cmd"] as const;
export type Shell = typeof SHELLS[number];

export interface ShellCommand {
  readonly text: string;
  /** Why it is not all that was meant; this shell has no way to say it. */
  readonly problems: readonly string[];
}

export function curlCommand(plan: CurlPlan, shell: Shell): ShellCommand {
  switch (shell) {
    case "sh":
      return posixCommand(plan);
    case "powershell":
      return powershellCommand(plan);
    case "cmd":
      return cmdCommand(plan);
  }
}

/** POSIX.1 §2.2: between single quotes every character but that one is itself. */
function posixCommand({ args, content }: CurlPlan): ShellCommand {
  const words = args.map((arg) => arg === CONTENT ? "@-" : posixQuoted(octetsOfText(arg)));
  const input = content === null ? "" : `printf '${printfFormat(content)}' | `;
  return { text: input + inLines("curl", args, words, " \\\n  "), problems: [] };
}

function posixQuoted(octets: Uint8Array): string {
  const text = utf8Text(octets);
  if (text !== null && /^[A-Za-z0-9_@%+=:,./-]+$/.test(text)) return text;
  if (text !== null && isPrintable(text)) return `'${text.replaceAll("'", "'\\''")}'`;
  // A command's output is taken without the line ends it ends with.
  const end = octets.findLastIndex((octet) => octet !== 0x0a) + 1;
  return `"$(printf '${printfFormat(octets.subarray(0, end))}')"` +
    (end === octets.length ? "" : `'${"\n".repeat(octets.length - end)}'`);
}

/** What `printf` makes these octets of, between single quotes. An exclamation mark could be a shell's history. */
function printfFormat(octets: Uint8Array): string {
  let format = "";
  for (let index = 0; index < octets.length; index++) {
    const octet = octets[index]!;
    const character = String.fromCharCode(octet);
    const plain = octet === 0x0a || (octet >= 0x20 && octet < 0x7f && !"%\\'!".includes(character));
    const isOption = index === 0 && character === "-";
    format += plain && !isOption ? character : `\\${octet.toString(8).padStart(3, "0")}`;
  }
  return format;
}

/**
 * In single quotes every character but that one is itself (about_Quoting_Rules). Before 7.3 PowerShell passed
 * arguments on without saying which of their quotes are content, so that one could become many: what depends on
 * that is in one statement with a question for the version, which holds when it is pasted, too.
 */
function powershellCommand(plan: CurlPlan): ShellCommand {
  const { args, content } = withContentApart(plan);
  const problems: string[] = [];
  const words = args.map((arg) => {
    if (arg === CONTENT) return '"@$body"';
    const text = asciiText(octetsOfText(arg));
    if (text === null) problems.push(notText(arg));
    return powershellQuoted(text ?? inAscii(arg));
  });
  const input = content === null ? "" : "$body = [IO.Path]::GetTempFileName()\n" +
    `[IO.File]::WriteAllBytes($body, [Convert]::FromBase64String('${content.toBase64()}'))\n`;
  const command = input + inLines("curl.exe", args, words, " `\n  ");
  const isForAll = args.every((arg) => arg === CONTENT || !/^$|"|\\$/.test(arg));
  return { text: isForAll ? command : `${POWERSHELL_7_3} else {\n${command}}\n`, problems };
}

const POWERSHELL_7_3 =
  "if ($PSVersionTable.PSVersion.Major * 100 + $PSVersionTable.PSVersion.Minor -lt 703) " +
  "{ throw 'PowerShell 7.3 or later is needed' }";

/**
 * Programs of Windows may get their command line in the system's code page, which makes straight quotes, backslashes
 * or hyphens of some characters that it does not have; curl.exe is one of those. So arguments are ASCII alone, and
 * content that is not does not go in one.
 */
function withContentApart(plan: CurlPlan): Pick<CurlPlan, "args" | "content"> {
  const { args, content } = plan;
  const inline = args.at(-1);
  if (args.at(-2) !== "--data-raw" || typeof inline !== "string") return { args, content };
  const octets = octetsOfText(inline);
  if (asciiText(octets) !== null) return { args, content };
  return { args: [...args.slice(0, -2), "--data-binary", CONTENT], content: octets };
}

function asciiText(octets: Uint8Array): string | null {
  return octets.every((octet) => octet < 0x80) ? utf8Text(octets) : null;
}

/** To show where something is missing. */
function inAscii(text: string): string {
  return text.replace(/[^\0-\x7f]/g, "?");
}

function powershellQuoted(text: string): string {
  // Hyphens alone end the options of a command of PowerShell's own.
  if (/^-{0,2}[A-Za-z0-9][A-Za-z0-9-]*$/.test(text)) return text;
  const parts = Array.from(text.matchAll(PRINTABLE_OR_NOT), ([part]) => {
    if (isPrintable(part)) return `'${part.replaceAll("'", "''")}'`;
    return Array.from(part, (character) => `[char]::ConvertFromUtf32(${character.codePointAt(0)})`).join(
      " + ",
    );
  });
  return parts.length === 0
    ? "''"
    : parts.length === 1 && isPrintable(text)
    ? parts[0]!
    : `(${parts.join(" + ")})`;
}

const PRINTABLE_OR_NOT = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+|[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu;

/**
 * For the prompt of cmd.exe; batch files want percent signs doubled. First the argument as the C runtime of Windows
 * takes a command line apart, then each character that means something to cmd.exe behind a caret, quotes too: so
 * cmd.exe never is within quotes, where carets mean nothing.
 */
function cmdCommand(plan: CurlPlan): ShellCommand {
  const { args, content } = withContentApart(plan);
  const problems: string[] = [];
  if (content !== null) problems.push(`put the content into a file ${CONTENT_FILE} first`);
  const words = args.map((arg) => {
    if (arg === CONTENT) return `@${CONTENT_FILE}`;
    const text = asciiText(octetsOfText(arg));
    const clean = text !== null && isPrintable(text) && !text.includes("\n");
    if (!clean) problems.push(notText(arg));
    return cmdQuoted(clean ? text : visible(inAscii(arg)));
  });
  const text = inLines("curl.exe", args, words, " ^\n  ");
  if (text.length > CMD_LENGTH_MAX) {
    problems.push(`cmd.exe takes no command of more than ${CMD_LENGTH_MAX} characters`);
  }
  return { text, problems };
}

const CMD_LENGTH_MAX = 8191;

function cmdQuoted(text: string): string {
  if (/^[A-Za-z0-9.-]+$/.test(text)) return text;
  let quoted = "";
  let afterPercent = false;
  for (const character of runtimeQuoted(text)) {
    // Behind a percent sign, too: no variable has a name that begins with a caret.
    if (afterPercent || /["()%!^<>&|]/.test(character)) quoted += "^";
    quoted += character;
    afterPercent = character === "%";
  }
  return quoted;
}

/** Backslashes are themselves, but before a quote. */
function runtimeQuoted(text: string): string {
  let quoted = '"';
  let backslashes = 0;
  for (const character of text) {
    if (character === '"') quoted += "\\".repeat(backslashes + 1);
    backslashes = character === "\\" ? backslashes + 1 : 0;
    quoted += character;
  }
  return `${quoted}${"\\".repeat(backslashes)}"`;
}

/** One line for the URL, one for each option behind it. */
function inLines(
  program: string,
  args: readonly CurlArgument[],
  words: readonly string[],
  lineEnd: string,
): string {
  let text = program;
  words.forEach((word, index) => {
    const arg = args[index]!;
    const breaks = arg === "-H" || arg === "--data-raw" || arg === "--data-binary" || arg === "--compressed";
    text += (breaks ? lineEnd : " ") + word;
  });
  return text + "\n";
}

function notText(arg: string): string {
  return `an argument cannot be said in this shell as it is: ${visible(arg.slice(0, 60))}`;
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function utf8Text(octets: Uint8Array): string | null {
  try {
    return utf8.decode(octets);
  } catch {
    return null;
  }
}

/** A line end does nothing to a terminal; a tab may complete what is typed there. */
function isPrintable(text: string): boolean {
  const bare = text.replaceAll("\n", "");
  return visible(bare) === bare;
}
