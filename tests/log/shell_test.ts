/**
 * Commands are given to the shell they are for where that is there (`/bin/sh`), with a function of the name `curl`
 * that prints its arguments. Those for Windows are read by readers of their own, written after its documentation.
 */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { CONTENT, type CurlPlan, octetsOfText, planCurl } from "../../src/log/curl.ts";
import type { RecordedRequest } from "../../src/log/recorded_request.ts";
import { curlCommand, type Shell } from "../../src/log/shell.ts";

const octet = fc.integer({ min: 1, max: 255 }).map((code) => String.fromCharCode(code));
const octets = fc.oneof(
  fc.array(octet, { maxLength: 20 }).map((parts) => parts.join("")),
  fc.array(
    fc.constantFrom(
      ..."'\"`$\\!%^&|<>(){}[]*?~#;=@-, \n\t\r\x1b\x7f",
      "$(touch /tmp/x)",
      "`id`",
      "%PATH%",
      "'; exit 7; '",
      "\\\\",
      "\xe2\x80\x99",
      "\xe2\x80\xae",
      "\xc3\xa9",
      "\xff",
      "EOF\n",
      "\n\n",
    ),
    { maxLength: 12 },
  ).map((parts) => parts.join("")),
);
const fieldText = octets.map((text) => text.replace(/[\r\n]/g, ""));

const requests: fc.Arbitrary<RecordedRequest> = fc.record({
  method: fc.oneof(fc.constantFrom("GET", "POST", "HEAD"), fieldText.map((text) => `M${text}`)),
  scheme: fc.constantFrom("http", "https"),
  authority: fc.oneof(fc.constant("a.test:8443"), fieldText),
  target: fieldText.map((text) => `/${text}`),
  version: fc.constantFrom("HTTP/1.1", "HTTP/2"),
  fields: fc.array(fc.tuple(fieldText.map((text) => `X${text}`), fieldText), { maxLength: 4 }),
  isExtendedConnect: fc.constant(false),
  serverHost: fc.constant("a.test"),
  serverPort: fc.constant(8443),
  content: fc.oneof(octets.map(octetsOfText), fc.uint8Array({ maxLength: 40 })),
  decoded: fc.constant(false),
  lacking: fc.constant(null),
  hasTrailers: fc.constant(false),
});

const plans = requests.map((request) => planCurl(request)!);

/** What the program should be given: its arguments, and what it reads. */
interface Given {
  readonly args: readonly Uint8Array[];
  readonly input: Uint8Array | null;
}

function meant({ args, content }: CurlPlan, contentPlace: string): Given {
  return { args: args.map((arg) => octetsOfText(arg === CONTENT ? contentPlace : arg)), input: content };
}

const STUB = `curl() {
  printf '%s\\0' "$@"
  for last in "$@"; do :; done
  if [ "$last" = @- ]; then printf 'INPUT\\0'; cat; fi
}
`;

function hasPosixShell(): boolean {
  if (Deno.build.os !== "windows") return true;
  console.log("skipped: Windows has no /bin/sh to ask");
  return false;
}

async function givenBySh(command: string, file?: string): Promise<Given> {
  if (file !== undefined) await Deno.writeTextFile(file, STUB + command);
  const args = file === undefined ? ["-c", STUB + command] : [file];
  const { code, stdout, stderr } = await new Deno.Command("/bin/sh", { args }).output();
  assertEquals([code, new TextDecoder().decode(stderr)], [0, ""], command);
  const given: Uint8Array[] = [];
  let start = 0;
  for (let end = stdout.indexOf(0); end >= 0; end = stdout.indexOf(0, start)) {
    const arg = stdout.slice(start, end);
    start = end + 1;
    if (new TextDecoder().decode(arg) === "INPUT") return { args: given, input: stdout.slice(start) };
    given.push(arg);
  }
  return { args: given, input: null };
}

Deno.test("a command for sh gives curl exactly the arguments and the content that are meant", async () => {
  if (!hasPosixShell()) return;
  await fc.assert(
    fc.asyncProperty(plans, async (plan) => {
      assertEquals(await givenBySh(curlCommand(plan, "sh").text), meant(plan, "@-"));
    }),
    { numRuns: 150 },
  );
});

Deno.test("a command for sh carries content of every octet, and long content", async () => {
  if (!hasPosixShell()) return;
  const file = await Deno.makeTempFile({ prefix: "curl_command_" });
  const every = Uint8Array.from({ length: 70_000 }, (_, index) => index);
  for (
    const content of [
      every,
      every.subarray(45),
      new TextEncoder().encode("-n %s '\\0' !x\n\n".repeat(4000)),
    ]
  ) {
    const plan: CurlPlan = { args: ["--data-binary", CONTENT], content, notes: [], lacking: false };
    // As a script: no argument of a program may be so long.
    assertEquals(await givenBySh(curlCommand(plan, "sh").text, file), meant(plan, "@-"));
  }
  await Deno.remove(file);
});

const SHELLS: readonly Shell[] = ["sh", "powershell", "cmd"];

Deno.test("no command prints anything that could steer a terminal", () => {
  fc.assert(fc.property(plans, fc.constantFrom(...SHELLS), (plan, shell) => {
    const { text } = curlCommand(plan, shell);
    assert(!/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(text.replaceAll("\n", "")), JSON.stringify(text));
  }));
});

/** A statement that only PowerShell 7.3 and later carry out. */
const GUARD =
  /^if \(\$PSVersionTable\.PSVersion\.Major \* 100 \+ \$PSVersionTable\.PSVersion\.Minor -lt 703\) \{ throw '[^']*' \} else \{\n([^]*)\}\n$/;

/** about_Quoting_Rules: in single quotes two of them, of either form, stand for one, and one is the end. */
function givenByPowershell(text: string): { args: string[]; body: Uint8Array | null; isGuarded: boolean } {
  const guarded = GUARD.exec(text);
  const command = guarded?.[1] ?? text;
  let at = 0;
  let body: Uint8Array | null = null;
  const file = /^\$body = [^\n]*\n[^\n]*FromBase64String\('([A-Za-z0-9+/=]*)'\)\)\n/.exec(command);
  if (file !== null) {
    body = Uint8Array.fromBase64(file[1]!);
    at = file[0].length;
  }
  const take = (pattern: RegExp): string | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(command);
    if (found === null) return null;
    at += found[0].length;
    return found[0];
  };
  const literal = (): string | null => {
    const quoted = take(/'(?:[^'‘’‚‛]|['‘’‚‛]{2})*'/y);
    if (quoted !== null) return quoted.slice(1, -1).replace(/(['‘’‚‛])['‘’‚‛]/g, "$1");
    const code = take(/\[char\]::ConvertFromUtf32\(\d+\)/y);
    return code === null ? null : String.fromCodePoint(Number(/\((\d+)\)/.exec(code)![1]));
  };
  assertEquals(take(/curl\.exe/y), "curl.exe");
  const args: string[] = [];
  while (take(/ (`\n {2})?/y) !== null) {
    if (take(/"@\$body"/y) !== null) args.push("@$body");
    else if (take(/\(/y) !== null) {
      let text = "";
      do text += literal() ?? "?"; while (take(/ \+ /y) !== null);
      assertEquals(take(/\)/y), ")", command);
      args.push(text);
      // Words without quotes: no dot, which parts one that begins with a hyphen, and not hyphens alone.
    } else args.push(literal() ?? take(/-{0,2}[A-Za-z0-9][A-Za-z0-9-]*/y) ?? "?");
  }
  assertEquals(command.slice(at), "\n", command);
  return { args, body, isGuarded: guarded !== null };
}

/** "Parsing C++ command-line arguments": what a program makes of its command line, its name left out. */
function givenByRuntime(line: string): string[] {
  const args: string[] = [];
  for (let at = 0; at < line.length;) {
    while (line[at] === " " || line[at] === "\t") at++;
    if (at === line.length) break;
    let arg = "";
    for (let quoted = false; at < line.length && (quoted || (line[at] !== " " && line[at] !== "\t"));) {
      const run = /^\\*/.exec(line.slice(at))![0].length;
      if (line[at + run] === '"') {
        arg += "\\".repeat(Math.floor(run / 2));
        at += run + 1;
        if (run % 2 === 1) arg += '"';
        // Within quotes two of them are one that does not end them.
        else if (quoted && line[at] === '"') {
          arg += '"';
          at++;
        } else quoted = !quoted;
      } else if (run > 0) {
        arg += "\\".repeat(run);
        at += run;
      } else arg += line[at++];
    }
    args.push(arg);
  }
  return args;
}

/**
 * The command line that PowerShell before 7.3 makes of arguments (about_Parsing, PSNativeCommandArgumentPassing
 * Legacy): what has white space in it between quotes, nothing in it escaped, and nothing of what is empty.
 */
function lineOfOldPowershell(args: readonly string[]): string {
  return args.filter((arg) => arg !== "").map((arg) => /\s/.test(arg) ? `"${arg}"` : arg).join(" ");
}

const isAscii = (text: string) => octetsOfText(text).every((octet) => octet < 0x80);

const utf8 = (text: string) => new TextDecoder("utf-8", { ignoreBOM: true }).decode(octetsOfText(text));

/** What is asked of shells of Windows: content goes in an argument only where it is ASCII. */
function onWindows(plan: CurlPlan): Pick<CurlPlan, "args" | "content"> {
  const [name, inline] = plan.args.slice(-2);
  if (name !== "--data-raw" || typeof inline !== "string" || isAscii(inline)) return plan;
  return { args: [...plan.args.slice(0, -2), "--data-binary", CONTENT], content: octetsOfText(inline) };
}

Deno.test("a command for PowerShell says the arguments and the content, and what it cannot say", () => {
  let [guarded, unguarded] = [0, 0];
  fc.assert(
    fc.property(plans, (plan) => {
      const { text, problems } = curlCommand(plan, "powershell");
      const { args, body, isGuarded } = givenByPowershell(text);
      const wanted = onWindows(plan);
      assertEquals(body, wanted.content);
      assertEquals(args.length, wanted.args.length);
      const unsaid = wanted.args.filter((arg) => arg !== CONTENT && !isAscii(arg));
      assertEquals(problems.length, unsaid.length);
      assert(args.every((arg) => isAscii(arg)), "no code page changes what it is given");
      wanted.args.forEach((arg, index) => {
        if (arg === CONTENT) assertEquals(args[index], "@$body");
        else if (isAscii(arg)) assertEquals(args[index], utf8(arg));
      });
      // Versions that pass arguments on as they are get only what is then still the same, or refuse.
      if (!isGuarded) assertEquals(givenByRuntime(lineOfOldPowershell(args)), args, text);
      if (isGuarded) guarded++;
      else unguarded++;
    }),
    { numRuns: 400 },
  );
  assert(guarded > 0 && unguarded > 0);
});

/** Carets and variables as cmd.exe reads a line that is never within quotes; then the C runtime's rules for arguments. */
function givenByCmd(command: string): string[] {
  let line = "";
  const text = command.slice(0, -1);
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "^") {
      at++;
      if (text[at] === "\n") at++;
      line += text[at];
      continue;
    }
    assert(!'"&|<>()\n!'.includes(text[at]!), `a bare ${text[at]} in ${command}`);
    line += text[at];
  }
  // Variables are found before carets are read, between two percent signs.
  assert(!/%[^^]/.test(text), `perhaps a variable in ${text}`);
  return givenByRuntime(line);
}

Deno.test("a command for cmd says the arguments, and what it cannot say", () => {
  fc.assert(
    fc.property(plans, (plan) => {
      const { text, problems } = curlCommand(plan, "cmd");
      const [program, ...args] = givenByCmd(text);
      assertEquals([program, args.length], ["curl.exe", plan.args.length]);
      const wanted = onWindows(plan);
      let unsaid = wanted.content === null ? 0 : 1;
      assert(args.every((arg) => isAscii(arg)), "no code page changes what it is given");
      wanted.args.forEach((arg, index) => {
        if (arg === CONTENT) assertEquals(args[index], "@request-body");
        else if (isAscii(arg) && !/\p{Cc}/u.test(arg)) {
          assertEquals(args[index], utf8(arg));
        } else unsaid++;
      });
      assertEquals(problems.length, unsaid);
    }),
    { numRuns: 400 },
  );
});

Deno.test("a command that is too long for cmd is said to be", () => {
  const plan: CurlPlan = { args: ["x".repeat(9000)], content: null, notes: [], lacking: false };
  assertEquals(curlCommand(plan, "cmd").problems, ["cmd.exe takes no command of more than 8191 characters"]);
  const backslashes: CurlPlan = { ...plan, args: ["\\".repeat(200_000)] };
  assertEquals(
    givenByCmd(curlCommand({ ...plan, args: ["\\".repeat(99) + '"'] }, "cmd").text)[1],
    "\\".repeat(99) + '"',
  );
  assertEquals(
    curlCommand(backslashes, "cmd").problems.length,
    1,
    "in time that grows with its length alone",
  );
});
