import { assertEquals, assertStringIncludes } from "@std/assert";
import { FILTER_OPTIONS } from "../../../src/cli/log/filters.ts";
import {
  chunk,
  closed,
  completed,
  decision,
  flowEvent,
  LogBuilder,
  received,
  requestHeaders,
  responseHeaders,
  tlsEvents,
  turnCompleted,
  turnStarted,
  webSocketClosed,
  webSocketMessage,
  webSocketOpened,
} from "../../log/log_builder.ts";
import { run, withLog } from "./run_log.ts";

/** Three flows: two hosts, several methods and statuses, a stream of events, a WebSocket, a tunnel. */
function log(): LogBuilder {
  const log = new LogBuilder().open();
  const sse = flowEvent("sse_event", {
    bytes: 5,
    data: "hello",
    direction: "response",
    exchange_id: 2,
    index: 0,
  }, "h1:2");
  log.add(
    log.flow(1),
    received,
    decision("intercept"),
    ...tlsEvents,
    requestHeaders(1),
    responseHeaders(1, 200),
    chunk("response", 1, 0, 9, { data: "a needle " }),
    completed(1, { response_body_bytes: 9 }),
    requestHeaders(2, { method: "POST", target: "/v1//%61dmin?x=/other" }),
    responseHeaders(2, 404),
    { ...sse, protocol: "sse" },
    completed(2),
    requestHeaders(3, { authority: "other.test:8443" }),
    completed(3, { answer_status: 502, outcome: "server_aborted", ttfb_ns: null }),
    closed("protocol_error"),
  );
  const plain = log.flow(2, { serverHost: "192.0.2.7", serverPort: 80 });
  log.add(
    plain,
    received,
    decision("intercept"),
    requestHeaders(1, { scheme: "http", target: "http://plain.test/chat", authority: "plain.test" }),
    responseHeaders(1, 101),
    webSocketOpened(1),
    completed(1),
    turnStarted(1, 1),
    { ...webSocketMessage(1, 0, { data: "tell me" }), protocol: "websocket" },
    turnCompleted(1, 1),
    webSocketClosed(1),
    closed(),
  );
  log.add(log.flow(3, { serverHost: "bank.test" }), received, decision("tunnel"), {
    ...closed("idle_timeout"),
    protocol: "tunnel",
  });
  return log;
}

async function ids(path: string, ...options: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await run("show", "--json", path, ...options);
  assertEquals([code, stderr], [0, ""], options.join(" "));
  return stdout.trimEnd().split("\n").filter((line) => line !== "").map((line) => JSON.parse(line).id);
}

Deno.test("each filter of log show takes what its help says", async () => {
  const all = ["1-1/1", "1-1/2", "1-1/3", "1-2/1", "1-3"];
  const cases: readonly [options: string[], expected: string[]][] = [
    [[], all],
    [["--host", "*.example.com"], all.slice(0, 3)],
    [["--host", "other.test"], ["1-1/3"]],
    [["--host", "other.test:443"], []],
    [["--host", "other.test:8443"], ["1-1/3"]],
    [["--host", "192.0.2.0/24"], ["1-2/1"]],
    [["--host", "PLAIN.test:80"], ["1-2/1"]],
    [["--host", "plain.test", "--host", "bank.test"], ["1-2/1", "1-3"]],
    [["--method", "post"], ["1-1/2"]],
    [["--method", "CONNECT"], []],
    [["--status", "404"], ["1-1/2"]],
    [["--status", "5xx"], ["1-1/3"]],
    [["--status", "100-404"], ["1-1/1", "1-1/2", "1-2/1"]],
    [["--status", "4XX", "--status=200"], ["1-1/1", "1-1/2"]],
    [["--path", "/v1/admin"], ["1-1/2"]],
    [["--path", "*other"], []],
    [["--path", "/chat"], ["1-2/1"]],
    [["--protocol", "sse"], ["1-1/2"]],
    [["--protocol", "tls"], all.slice(0, 3)],
    [["--protocol", "websocket", "--protocol", "tunnel"], ["1-2/1", "1-3"]],
    [["--flow", "1-1"], all.slice(0, 3)],
    [["--flow", "1-1/2", "--flow", "1-3"], ["1-1/2", "1-3"]],
    [["--grep", "needle"], ["1-1/1"]],
    [["--grep", "Needle"], []],
    [["--grep", "hello"], ["1-1/2"]],
    [["--grep", "tell me"], ["1-2/1"]],
    [["--grep", "bank.test"], ["1-3"]],
    [["--grep", "nginx", "--status", "404"], ["1-1/2"]],
    [["--grep=-v"], []],
  ];
  await withLog(log().lines, async (path) => {
    for (const [options, expected] of cases) {
      assertEquals(await ids(path, ...options), expected, options.join(" "));
    }
  });
  const tried = new Set(cases.flatMap(([options]) => options.map((option) => option.split("=")[0])));
  const untried = Object.keys(FILTER_OPTIONS).filter((name) => !tried.has(`--${name}`) && name !== "since");
  assertEquals(untried, []);
});

Deno.test("a filter that cannot be meant is a usage error that says what is allowed", async () => {
  const refused: readonly [options: string[], part: string][] = [
    [["--host", "http://x/"], 'the pattern "http://x/" is a URL'],
    [["--method", "a b"], '--method: found "a b"; allowed: a request method'],
    [["--status", "40"], '--status: found "40"; allowed: a status, a class or a range'],
    [["--status", "299-200"], "from the lower to the higher"],
    [["--path", "v1"], '--path: found "v1"'],
    [["--protocol", "htp2"], 'did you mean "http2"?'],
    [["--flow", "x"], "an id such as 1-3 or 1-3/2"],
    [["--since", "yesterday"], '--since: found "yesterday"; allowed: a duration'],
    [["--since", "5 m"], "--since"],
    [["--grep", "a", "--grep", "b"], "--grep is given twice"],
    [["--grep="], "--grep needs an argument"],
    [["--stauts", "200"], 'did you mean "--status"?'],
  ];
  await withLog(log().lines, async (path) => {
    for (const [options, part] of refused) {
      const { code, stdout, stderr } = await run("show", ...options, path);
      assertEquals([code, stdout], [2, ""], options.join(" "));
      assertStringIncludes(stderr, part);
    }
  });
  assertStringIncludes(
    (await run("show", "--since", "5m", "-")).stderr,
    "the end of standard input is not known",
  );
});
