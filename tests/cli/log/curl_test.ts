import { assertEquals, assertStringIncludes } from "@std/assert";
import { CURL } from "../../../src/cli/log/curl.ts";
import { chunk, completed, LogBuilder, requestHeaders, responseHeaders } from "../../log/log_builder.ts";
import { run, withLog } from "./run_log.ts";

function log(): LogBuilder {
  const log = new LogBuilder().open();
  const headers = [["Host", "api.example.com"], ["Cookie", "[redacted 9 bytes]"], ["X-Q", "it's\x1b"]];
  return log.add(
    log.flow(1),
    requestHeaders(1, { method: "POST", headers }),
    chunk("request", 1, 0, 3, { data: "a&b" }),
    responseHeaders(1, 200),
    completed(1, { request_body_bytes: 3 }),
    requestHeaders(2, { method: "PUT" }),
    chunk("request", 2, 0, 9, { data: "abc" }),
    completed(2, { request_body_bytes: 9 }),
    requestHeaders(3, { method: "CONNECT", protocol: "websocket" }),
    completed(3),
  );
}

Deno.test("log curl prints the command, and on standard error what it leaves out", async () => {
  await withLog(log().lines, async (path) => {
    const { code, stdout, stderr } = await run("curl", path, "--exchange", "1-1/1");
    assertEquals(code, 0);
    assertEquals(stdout.split(" \\\n  "), [
      "curl --http1.1 'https://api.example.com/v1/items?x=1'",
      `-H "$(printf 'X-Q: it\\047s\\033')"`,
      "-H User-Agent:",
      "-H Accept:",
      "-H Content-Type:",
      "--data-raw 'a&b'\n",
    ]);
    assertEquals(stderr, "soth-mitm: Cookie is left out: the log has no value of it ([redacted 9 bytes])\n");
    const cmd = await run("curl", path, "--exchange=1-1/1", "--shell", "cmd");
    assertEquals([cmd.code, cmd.stdout.startsWith('curl.exe --http1.1 ^"https://')], [1, true]);
    assertStringIncludes(cmd.stderr, "cannot be said in this shell as it is: X-Q: it's\\x1b");
    const powershell = await run("curl", path, "--exchange=1-1/1", "--shell", "powershell");
    assertStringIncludes(powershell.stdout, "('X-Q: it''s' + [char]::ConvertFromUtf32(27))");
  });
});

Deno.test("log curl exits with 1 where the log has not all of the request", async () => {
  await withLog(log().lines, async (path) => {
    const part = await run("curl", path, "--exchange", "1-1/2");
    assertEquals(part.code, 1);
    assertStringIncludes(part.stdout, "--data-binary @request-body\n");
    assertStringIncludes(
      part.stderr,
      "the log has the first 3 of 9 bytes of its content: put all of it into a file",
    );
    const none = await run("curl", path, "--exchange", "7-7/7");
    assertEquals([none.code, none.stdout], [1, ""]);
    assertStringIncludes(none.stderr, "there is no request of exchange 7-7/7");
    const connect = await run("curl", path, "--exchange", "1-1/3");
    assertEquals([connect.code, connect.stderr], [
      1,
      "soth-mitm: curl cannot send this again: it is a CONNECT\n",
    ]);
  });
});

Deno.test("log curl says how it wants to be asked", async () => {
  assertEquals((await run("curl", "--help")).stdout, CURL.help);
  const refused: readonly [args: string[], part: string][] = [
    [["x"], "log curl needs --exchange F/N"],
    [["x", "--exchange", "1-3"], '--exchange: found "1-3"; allowed: flow and exchange, such as 1-3/2'],
    [["x", "--exchange", "1-3/2", "--shell", "bash"], "allowed: sh, powershell, cmd"],
    [["x", "--exchnge", "1-3/2"], 'did you mean "--exchange"?'],
  ];
  for (const [args, part] of refused) {
    const { code, stderr } = await run("curl", ...args);
    assertEquals(code, 2);
    assertStringIncludes(stderr, part);
  }
});
