import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { isGuarded } from "../../src/http/guarded_fields.ts";
import { parseRequestHead, parseResponseHead } from "../../src/http1/head.ts";
import { HeadReader } from "../../src/http1/head_reader.ts";
import { bendsLines, type Tolerance } from "../../src/http1/tolerance.ts";
import { cutInto, latin1 } from "../support/golden.ts";

const LIMITS = { maxHeaderFields: 8 };

/** The fields of a response with these lines and what was tolerated; else the code of the error. */
function response(lines: string, tolerance: Tolerance = "lines", statusLine = "HTTP/1.1 200 OK\r\n") {
  const head = parseResponseHead(latin1(statusLine + lines), LIMITS, tolerance);
  return head.type === "error" ? head.code : [head.fields, head.tolerated.map(({ code }) => code)];
}

function request(lines: string, tolerance: Tolerance = "values") {
  const head = parseRequestHead(latin1(`GET / HTTP/1.1\r\nHost: a\r\n${lines}`), LIMITS, tolerance);
  return head.type === "error" ? head.code : [head.fields.slice(1), head.tolerated.map(({ code }) => code)];
}

Deno.test("parseResponseHead lets lines through that real servers send, where it is told to, and says which", () => {
  const rows: [lines: string, strict: string, fields: string[][]][] = [
    ["X: a\r\n b\r\n\t c \r\nY: d\r\n\r\n", "obs_fold", [["X", "a b c"], ["Y", "d"]]],
    ["X:\r\n b\r\n\r\n", "obs_fold", [["X", "b"]]],
    ["X \t: a\r\n\r\n", "whitespace_before_colon", [["X", "a"]]],
    ["X: \x01a\x7f\r\n\r\n", "control_byte", [["X", "\x01a\x7f"]]],
  ];
  for (const [lines, code, fields] of rows) {
    assertEquals(response(lines, "none"), code);
    assertEquals(response(lines), [fields, [code]]);
  }
  const bare = "X: a\nContent-Length: 3\n\n";
  assertEquals(response(bare, "none", "HTTP/1.1 200 OK\n"), "bare_lf");
  for (const statusLine of ["HTTP/1.1 200 OK\n", "HTTP/1.0 200\n", "HTTP/1.1 200 \n"]) {
    assertEquals(response(bare, "lines", statusLine), [[["X", "a"], ["Content-Length", "3"]], ["bare_lf"]]);
  }
  assertEquals(response("X : \x01\n y\n\n", "lines", "HTTP/1.1 200 OK\n"), [
    [["X", "\x01 y"]],
    ["bare_lf", "whitespace_before_colon", "control_byte", "obs_fold"],
  ]);
});

Deno.test("parseResponseHead never lets through what another reader takes for another message", () => {
  const rows: [lines: string, code: string][] = [
    // Fields that frame the message, and what may look like one.
    ["Content-Length: 3\r\n 4\r\n\r\n", "obs_fold"],
    ["Content-Length:\r\n 4\r\n\r\n", "obs_fold"],
    ["Content-Length : 3\r\n\r\n", "whitespace_before_colon"],
    ["Transfer-Encoding\t: chunked\r\n\r\n", "whitespace_before_colon"],
    ["Transfer-Encoding: \x01chunked\r\n\r\n", "control_byte"],
    ["X: a\r\n Content-Length: 4\r\n\r\n", "obs_fold"],
    ["X: a\r\n\ttransfer-encoding : chunked\r\n\r\n", "obs_fold"],
    ["Connection: \x01close\r\n\r\n", "control_byte"],
    // Lines that are none to some, or the end of the head.
    ["X: a\r\n \r\n\r\n", "obs_fold"],
    ["X: a\r\n\t\t\r\nY: b\r\n\r\n", "obs_fold"],
    [" X: a\r\n\r\n", "whitespace_before_fields"],
    ["X: a\nY: b\r\n\r\n", "bare_lf"],
    ["X: a\r\n\n", "bare_lf"],
    ["X: a\x0bContent-Length: 4\r\n\r\n", "control_byte"],
    ["X: a\x0cb\r\n\r\n", "control_byte"],
    ["X: a\x1cb\r\n\r\n", "control_byte"],
    ["X: a\x1db\r\n\r\n", "control_byte"],
    ["X: a\x1eb\r\n\r\n", "control_byte"],
    ["X: a\rb\r\n\r\n", "bare_cr"],
    ["X: a\0b\r\n\r\n", "nul_byte"],
    ["X\x01: a\r\n\r\n", "control_byte"],
    ["X: a\r\nno colon\r\n\r\n", "missing_colon"],
    [": a\r\n\r\n", "invalid_field_name"],
    ["X: a\r\n b\r\n\r\nrest", "malformed_start_line"],
    ["X: a\r\n b\r\n", "truncated_message"],
    ["X: a\r\n b\r\n c\r\n d\r\n e\r\n f\r\n g\r\n h\r\n i\r\n\r\n", "too_many_fields"],
  ];
  for (const [lines, code] of rows) assertEquals(response(lines), code, JSON.stringify(lines));
  assertEquals(response("X: a\nY: b\r\n\n", "lines", "HTTP/1.1 200 OK\n"), "bare_lf");
  assertEquals(response("X: a\r\n\r\n", "lines", "HTTP/1.1 200 OK\n"), "bare_lf");
  assertEquals(response("X: a\n\n", "lines", "HTTP/1.1 200 OK\r\n"), "bare_lf");
  assertEquals(response("\r\n", "lines", "HTTP/1.1 200 \x01\r\n"), "control_byte");
});

Deno.test("parseRequestHead lets control octets in values through, where it is told to, and no lines", () => {
  assertEquals(request("X: \x01\r\n\r\n", "none"), "control_byte");
  assertEquals(request("X: \x01\r\n\r\n"), [[["X", "\x01"]], ["control_byte"]]);
  assertEquals(request("X: \x01\r\nHost : a\r\n\r\n"), "whitespace_before_colon");
  assertEquals(request("X : a\r\n\r\n"), "whitespace_before_colon");
  assertEquals(request("X: a\r\n b\r\n\r\n"), "obs_fold");
  assertEquals(request("X: a\n\r\n"), "bare_lf");
  assertEquals(request("Transfer-Encoding: \x01chunked\r\n\r\n"), "control_byte");
  for (const line of ["GET /\x01 HTTP/1.1", "G\x01T / HTTP/1.1", "GET / HTTP/1.1\x01", "GET /\n"]) {
    const head = parseRequestHead(latin1(`${line}\r\nHost: a\r\n\r\n`), LIMITS, "values");
    assertEquals(head.type, "error", JSON.stringify(line));
  }
});

/** What a line ends in to a reader, and what it makes of lines that begin with white space. */
interface Reader {
  readonly lineEnd: RegExp;
  readonly folded: "joined" | "dropped" | "a line";
  /** A line of white space alone ends the head. */
  readonly blankEnds?: true;
}

const READERS: readonly Reader[] = [
  { lineEnd: /\r?\n/, folded: "joined" },
  { lineEnd: /\r?\n/, folded: "dropped" },
  { lineEnd: /\r?\n/, folded: "a line", blankEnds: true },
  { lineEnd: /\r\n/, folded: "joined" },
  // deno-lint-ignore no-control-regex
  { lineEnd: /\r\n|[\r\n\x0b\x0c\x1c-\x1e]/, folded: "a line" },
];

/** The guarded fields that a reader sees in a head, and where that ends to it; null: it sees no head at all. */
function seenBy({ lineEnd, folded, blankEnds }: Reader, text: string): string | null {
  const guarded: string[] = [];
  let rest = text;
  let last: string[] | null = null;
  for (let number = 0;; number++) {
    const end = lineEnd.exec(rest);
    if (end === null) return null;
    const line = rest.slice(0, end.index);
    rest = rest.slice(end.index + end[0].length);
    if (line === "" || (blankEnds && line.trim() === "")) break;
    if (number === 0) continue;
    const isFolded = /^[ \t]/.test(line);
    if (isFolded && folded === "joined" && last !== null) last[1] += ` ${line.trim()}`;
    if (isFolded && folded !== "a line") continue;
    const colon = line.indexOf(":");
    last = colon < 0 ? null : [line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim()];
    if (last !== null && isGuarded(last[0]!)) guarded.push(last.join("="));
  }
  return JSON.stringify([guarded, rest]);
}

Deno.test("readers of all kinds agree on the framing and the end of what is tolerated, or see no head", () => {
  const lineEnd = fc.constantFrom("\r\n", "\r\n", "\r\n", "\n", "\n", "\x0b");
  const name = fc.constantFrom("X", "Y", "content-length", "Transfer-Encoding", "connection", " Host");
  const piece = fc.constantFrom(
    "a",
    "5",
    "chunked",
    " ",
    "\t",
    "\x01",
    "\x0c",
    ":",
    "Content-Length",
    "\r\n ",
  );
  const line = fc.tuple(name, fc.constantFrom(":", " :", ": ", ""), fc.array(piece, { maxLength: 4 })).map((
    [name, colon, value],
  ) => `${name}${colon}${value.join("")}`);
  const head = fc.oneof(
    fc.tuple(fc.array(fc.tuple(line, lineEnd), { maxLength: 4 }), lineEnd, lineEnd).map((
      [lines, first, end],
    ) => `HTTP/1.1 200 OK${first}${lines.map(([line, end]) => line + end).join("")}${end}`),
    // Heads that are alike throughout, so that many are taken.
    fc.tuple(fc.array(line, { maxLength: 4 }), fc.constantFrom("\r\n", "\n")).map(([lines, end]) =>
      ["HTTP/1.1 200 OK", ...lines, "", ""].join(end)
    ),
  );
  let taken = 0;
  fc.assert(
    fc.property(head, fc.integer({ min: 1, max: 40 }), (text, size) => {
      const read = (reads: readonly Uint8Array[]) => {
        const reader = new HeadReader({ maxHeadBytes: 4096, tolerance: "lines" });
        for (const data of reads) {
          const result = reader.push(data, 0);
          if (result.type === "error") return result.code;
          if (result.type === "head") return String.fromCharCode(...result.bytes);
        }
        return "more";
      };
      const whole = read([latin1(text)]);
      assertEquals(read(cutInto(latin1(text), size)), whole);
      const parsed = parseResponseHead(latin1(whole), LIMITS, "lines");
      if (parsed.type === "error" || parsed.tolerated.length === 0) return;
      taken++;
      const [mine, ...others] = READERS.map((reader) => seenBy(reader, whole));
      assert(mine !== null && mine !== undefined, "it is a head");
      for (const other of others) if (other !== null) assertEquals(other, mine);
      const guarded = parsed.fields.filter(([name]) => isGuarded(name)).map(([name, value]) =>
        `${name.toLowerCase()}=${value}`
      );
      assertEquals(mine, JSON.stringify([guarded, ""]));
      assertEquals(
        bendsLines(parsed.tolerated),
        parsed.tolerated.some(({ code }) => code !== "control_byte"),
      );
    }),
    { numRuns: 4000 },
  );
  assert(taken > 100, `${taken} heads were tolerated`);
});
