import { assert, assertEquals } from "@std/assert";
import { CONTENT, CONTENT_FILE, type CurlPlan, octetsOfText, planCurl } from "../../src/log/curl.ts";
import type { RecordedRequest } from "../../src/log/recorded_request.ts";

const GET: RecordedRequest = {
  method: "GET",
  scheme: "https",
  authority: "a.test",
  target: "/x?y=1",
  version: "HTTP/1.1",
  fields: [["Host", "a.test"], ["User-Agent", "u"], ["Accept", "*/*"]],
  isExtendedConnect: false,
  serverHost: "a.test",
  serverPort: 443,
  content: new Uint8Array(0),
  decoded: false,
  lacking: null,
  hasTrailers: false,
};

function plan(overrides: Partial<RecordedRequest>): CurlPlan {
  const made = planCurl({ ...GET, ...overrides });
  if (made === null) throw new Error("there is no command");
  return made;
}

function headers({ args }: CurlPlan): unknown[] {
  return args.filter((_, index) => args[index - 1] === "-H");
}

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("planCurl asks for the same URL in the same version with the same fields", () => {
  assertEquals(plan({}).args, [
    "--http1.1",
    "https://a.test/x?y=1",
    "-H",
    "User-Agent: u",
    "-H",
    "Accept: */*",
  ]);
  assertEquals(plan({ version: "HTTP/2" }).args[0], "--http2");
  assertEquals(
    plan({ version: "HTTP/2", scheme: "http", serverPort: 80 }).args[0],
    "--http2-prior-knowledge",
  );
  assertEquals(plan({ version: "HTTP/1.0" }).args[0], "--http1.0");
  assertEquals(plan({ method: "HEAD" }).args[1], "--head");
  assertEquals(plan({ method: "-DELETE" }).args.slice(1, 3), ["-X", "-DELETE"]);
});

Deno.test("planCurl takes away what curl would add, and leaves to it what it makes itself", () => {
  assertEquals(headers(plan({ fields: [["Accept", ""]] })), ["Accept;", "User-Agent:"]);
  const fields: RecordedRequest["fields"] = [
    ["Host", "a.test"],
    ["Connection", "keep-alive"],
    ["Keep-Alive", "5"],
    ["Content-Length", "3"],
    ["Transfer-Encoding", "chunked"],
    ["Proxy-Connection", "x"],
    ["Accept", "a"],
    ["accept", "b"],
    [":authority", "x"],
  ];
  const made = plan({ fields, content: bytes("abc") });
  assertEquals(headers(made), ["Accept: a", "accept: b", "User-Agent:", "Content-Type:"]);
  assertEquals(made.args.slice(-2), ["--data-raw", "abc"]);
  const upgrade = plan({ fields: [["Connection", "Upgrade"], ["Upgrade", "websocket"]] });
  assertEquals(headers(upgrade).slice(0, 2), ["Connection: Upgrade", "Upgrade: websocket"]);
  assertEquals(upgrade.notes.length, 1);
});

Deno.test("planCurl says what it leaves out", () => {
  const fields: RecordedRequest["fields"] = [
    ["Cookie", "[redacted 12 bytes]"],
    ["Content-Encoding", "gzip"],
    ["X-Bad", "a\r\nEvil: 1"],
    ["@/etc/passwd", "curl would read a file"],
    ["User-Agent", "u"],
    ["Accept", "a"],
  ];
  const made = plan({ fields, decoded: true, hasTrailers: true });
  assertEquals(headers(made), ["User-Agent: u", "Accept: a"]);
  assertEquals(made.notes, [
    "Cookie is left out: the log has no value of it ([redacted 12 bytes])",
    "Content-Encoding: gzip is left out: the log has the content decompressed",
    'a field that no head can have is left out: "X-Bad"',
    'a field that no head can have is left out: "@/etc/passwd"',
    "its trailer fields are left out: curl cannot send any",
  ]);
  assertEquals(headers(plan({ fields: [["Content-Encoding", "x"]] }))[0], "Content-Encoding: x");
  assertEquals(planCurl({ ...GET, method: "CONNECT" }), null);
  assertEquals(planCurl({ ...GET, isExtendedConnect: true }), null);
});

Deno.test("planCurl sends a target as it was, also where a URL cannot say it", () => {
  const url = (overrides: Partial<RecordedRequest>) =>
    plan(overrides).args.filter((arg) =>
      typeof arg === "string" && !arg.startsWith("-") && !arg.includes(" ")
    );
  assertEquals(url({ target: "/a/../b" }), ["https://a.test/a/../b"]);
  assert(plan({ target: "/a/.." }).args.includes("--path-as-is"));
  assert(plan({ target: "/x?a[1]={2}" }).args.includes("--globoff"));
  assert(!plan({ authority: "[::1]", serverHost: "::1" }).args.includes("--globoff"));
  assertEquals(url({ target: "*", method: "GET" }), ["*", "https://a.test/"]);
  assertEquals(url({ target: "/a#b" }), ["/a#b", "https://a.test/"]);
  assertEquals(url({ target: "/\xff" }), ["/\xff", "https://a.test/"]);
  const plain = { scheme: "http", serverPort: 80 };
  assertEquals(url({ ...plain, target: "http://a.test/p?q" }), ["http://a.test/p?q"]);
  assertEquals(url({ ...plain, target: "HTTP://a.test" }), ["http://a.test/"]);
});

Deno.test("planCurl goes where the request went, whatever it named", () => {
  const other = plan({ serverHost: "192.0.2.7", serverPort: 8443 });
  assertEquals(other.args.slice(1, 4), ["--connect-to", "::192.0.2.7:8443", "https://a.test/x?y=1"]);
  const v6 = plan({ serverHost: "::1", serverPort: 443 });
  assertEquals(v6.args.slice(1, 3), ["--connect-to", "::[::1]:443"]);
  const broken = plan({
    authority: "a b'$(x)",
    fields: [["Host", "a b'$(x)"], ["User-Agent", "u"], ["Accept", "a"]],
  });
  assertEquals(broken.args.slice(1, 4), ["https://a.test:443/x?y=1", "-H", "Host: a b'$(x)"]);
  assertEquals(
    headers(plan({ authority: "a.test:443", fields: [["Host", "a.test:443"]] }))[0],
    "Host: a.test:443",
  );
});

Deno.test("planCurl reads content from where it has room, and asks for what the log has not", () => {
  assertEquals(plan({ content: bytes("@file") }).args.slice(-2), ["--data-raw", "@file"]);
  const binary = plan({ content: new Uint8Array([0, 255]) });
  assertEquals([binary.args.slice(-2), binary.content], [
    ["--data-binary", CONTENT],
    new Uint8Array([0, 255]),
  ]);
  const long = plan({ content: bytes("x".repeat(32 * 1024 + 1)) });
  assertEquals(long.args.at(-1), CONTENT);
  assertEquals(plan({ content: bytes("x".repeat(32 * 1024)) }).content, null);
  const large = plan({ content: new Uint8Array(1024 * 1024) });
  assert(headers(large).includes("Expect:"));
  const empty = plan({ method: "POST", fields: [["content-length", "0"]] });
  assertEquals([empty.args.includes("-X"), empty.args.slice(-2)], [false, ["--data-raw", ""]]);
  const part = plan({ method: "PUT", content: bytes("x"), lacking: "the log has the first 1 of 2 bytes" });
  assertEquals([part.lacking, part.content, part.args.at(-1)], [true, null, `@${CONTENT_FILE}`]);
  assertEquals(part.notes, [
    `the log has the first 1 of 2 bytes: put all of it into a file ${CONTENT_FILE} first`,
  ]);
});

Deno.test("octetsOfText gives an octet for each character, and UTF-8 for what no head can hold", () => {
  assertEquals(octetsOfText("a\xff"), new Uint8Array([0x61, 0xff]));
  assertEquals(octetsOfText("€"), new Uint8Array([0xe2, 0x82, 0xac]));
});
