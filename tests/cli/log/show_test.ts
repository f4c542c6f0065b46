import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { EventReader } from "../../../src/cli/log/events.ts";
import { SHOW } from "../../../src/cli/log/show.ts";
import {
  completed,
  flowEvent,
  goodLog,
  LogBuilder,
  requestHeaders,
  responseHeaders,
} from "../../log/log_builder.ts";
import { startRawOrigin } from "../../support/origin.ts";
import { withProxy } from "../../support/proxy.ts";
import { run, split, withLog } from "./run_log.ts";

Deno.test("log show prints the exchanges and flows of all segments, with the time of day", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    await split(path, lines, 9);
    const { code, stdout, stderr } = await run("show", path);
    assertEquals([code, stderr], [0, ""]);
    const shown = stdout.trimEnd().split("\n");
    assertEquals(shown.length, 10);
    for (const line of shown) {
      assert(/^\d\d:\d\d:05\.\d{3} {2}[12]-\d(\/\d)? +[A-Za-z0-9/?]+ +(\d{3}[ *]|- ) /.test(line), line);
    }
    assertStringIncludes(
      stdout,
      "gRPC     200    32 KiB   2.5 ms  https://api.example.com/v1/items?x=1  (sent 16 KiB: grpc 0 OK)",
    );
    assertEquals(shown.filter((line) => line.endsWith("(no end in the log)")).length, 1);
  });
});

Deno.test("log show goes on after lines that are no events, tells of them and exits with 1", async () => {
  const { lines } = goodLog();
  const foreign = ["null\n", "{}\n", '{"kind":"stream_closed","attributes":7}\n', "\x1b[2J\n"];
  await withLog([lines[0]!, ...foreign, ...lines.slice(1), '{"schema":'], async (path) => {
    const { code, stdout, stderr } = await run("show", path);
    assertEquals(code, 1);
    assertEquals(stdout.trimEnd().split("\n").length, 10);
    assertEquals(stderr.trimEnd().split("\n"), [
      ...[2, 3, 4, 5].map((line) => `soth-mitm: ${path}:${line} is not an event`),
      "soth-mitm: the log ends in the middle of a line (10 bytes)",
    ]);
  });
});

Deno.test("log show uses seconds where a log does not say when it was opened", async () => {
  const log = new LogBuilder().open();
  const { lines } = goodLog();
  await withLog(
    [log.lines[0]!.replace("2026-01-02T03:04:05.678Z", "long ago"), ...lines.slice(1, 30)],
    async (path) => {
      assert(/^0\.000s {2}/.test((await run("show", path)).stdout));
    },
  );
});

Deno.test("log show --json prints what a line says and the heads, an object a line", async () => {
  const { lines } = goodLog();
  await withLog(lines, async (path) => {
    const { code, stdout, stderr } = await run("show", "--json", path);
    assertEquals([code, stderr], [0, ""]);
    const objects = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    assertEquals(objects.length, 10);
    const [first] = objects.filter(({ id }) => id === "1-1/1");
    assertEquals([first.started, first.method, first.status, first.protocols], [
      "2026-01-02T03:04:05.678Z",
      "POST",
      200,
      ["http1", "connect", "tls"],
    ]);
    assertEquals(first.request_headers, [["Host", "api.example.com"]]);
    assertEquals(objects.filter(({ ended }) => !ended).map(({ id }) => id), ["1-6/1"]);
  });
  await withLog(
    [lines[0]!.replace("2026-01-02T03:04:05.678Z", "long ago"), ...lines.slice(1, 30)],
    async (path) => {
      const { stdout } = await run("show", "--json", path);
      assertEquals(JSON.parse(stdout.split("\n")[0]!).started, null);
    },
  );
});

Deno.test("log show explains every option and tells the wall clock of each opening", async () => {
  const { stdout } = await run("show", "--help");
  for (const name of Object.keys(SHOW.options)) assertStringIncludes(stdout, `--${name}`);
  const reader = new EventReader({ stdout: () => {}, stderr: () => {}, colour: false });
  const clocks: (number | null)[] = [reader.wallMs(0)];
  const log = new LogBuilder().open();
  const { lines } = log.open();
  await withLog([lines[0]!, lines[1]!.replace("2026-01-02", "2027-01-02")], async (path) => {
    for await (const item of reader.read(path)) clocks.push(item === null ? reader.wallMs(1e6) : 0);
  });
  clocks.push(reader.wallMs(1e6), reader.wallMs(Number.MAX_VALUE));
  assertEquals(clocks, [
    null,
    null,
    Date.parse("2026-01-02T03:04:05.679Z"),
    Date.parse("2027-01-02T03:04:05.679Z"),
    null,
  ]);
});

Deno.test("log show --messages prints what messages hold below their exchange, integers to their last digit", async () => {
  const log = new LogBuilder().open();
  const payload = flowEvent("payload_decoded", {
    bytes: 9,
    direction: "response",
    exchange_id: 1,
    format: "msgpack",
    sanitized: false,
    stages: ["msgpack"],
    value: { count: JSON.rawJSON("18446744073709551615") },
  }, "h1:1");
  log.add(log.flow(1), requestHeaders(1), responseHeaders(1, 200), payload, completed(1));
  await withLog(log.lines, async (path) => {
    const [, message] = (await run("show", "--messages", path)).stdout.split("\n");
    assertEquals(message, '    < msgpack {"count":18446744073709551615}');
    const [object] = (await run("show", "--messages", "--json", path)).stdout.split("\n");
    const { messages, messages_omitted } = JSON.parse(object!);
    assertEquals([messages.length, messages[0].what, messages_omitted], [1, "msgpack", 0]);
    assertEquals((await run("show", path)).stdout.trimEnd().split("\n").length, 1);
  });
});

Deno.test("log show --llm of streams that a server resets, or ends in the middle, shows what arrived and that it was cut", async () => {
  const delta = (content: string) =>
    `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;
  const origin = await startRawOrigin(async (connection) => {
    const head = await connection.readThrough("\r\n\r\n");
    await connection.readExactly(2);
    await connection.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n");
    await connection.write(delta("Roses are red,\n") + delta("violets"));
    if (head.includes("/whole/")) await connection.write("data: [DONE]\n\n");
    else await connection.write('data: {"choices":[{"index":0,"delta":{"content":" are bl');
    if (!head.includes("/reset/")) connection.end();
    else {
      // All of it is to be there before the reset, which may overtake it.
      await connection.readExactly(1);
      connection.socket.resetAndDestroy();
    }
  });
  const lines: string[] = [];
  await withProxy({}, async (proxy) => {
    for (const [index, path] of ["/reset", "/end", "/whole"].entries()) {
      const connection = await proxy.connect();
      await connection.write(
        `POST http://${origin.authority}${path}/v1/chat/completions HTTP/1.1\r\n` +
          `Host: ${origin.authority}\r\nContent-Length: ${path === "/reset" ? 3 : 2}\r\n\r\n{}`,
      );
      if (path === "/reset") {
        await connection.readThrough(" are bl");
        await connection.write("\n");
      }
      try {
        while (await connection.read() !== null);
      } catch (error) {
        if (path !== "/reset") throw error;
      }
      connection.socket.destroy();
      await proxy.closed(index + 1);
    }
    lines.push(...proxy.events.map((event) => JSON.stringify(event) + "\n"));
  });
  await origin.close();
  await withLog(lines, async (path) => {
    const { stdout } = await run("show", "--llm", path);
    const [reset, end, whole] = stdout.split(/^.* POST .*\n/m).slice(1);
    const said = ["      Roses are red,", "      violets"].join("\n");
    for (const [text, cut] of [[reset, true], [end, true], [whole, false]] as const) {
      assertStringIncludes(text!, `tokens not stated\n${said}\n`);
      assertEquals(/^ {4}cut: /m.test(text!), cut, text);
    }
    assertStringIncludes(reset!, "cut: server_aborted; the stream does not say that it is over");
    assertStringIncludes(end!, "cut: the stream does not say that it is over");
  });
});
