/**
 * What `log har` writes, read by the importer of Chromium's own developer tools: every entry is a request to it, with
 * its body, the messages of its WebSocket and the events of its stream.
 */
import { assert, assertEquals } from "@std/assert";
import { gzipSync } from "node:zlib";
import { makeAuthority } from "../support/certificates.ts";
import { curlThrough } from "../support/curl.ts";
import { validateHar } from "../support/har.ts";
import { ProxyProcess, soth } from "../support/proxy_process.ts";
import { startStreamOrigin } from "../support/stream_origin.ts";
import { plainEnvironment, tool } from "../support/tools.ts";
import { openThrough, startEcho } from "../support/ws_peers.ts";

/** As much of a request of the importer's as is looked at, or an entry says. */
interface Imported {
  readonly url: string;
  readonly method: string;
  readonly status: number;
  readonly type: string;
  readonly body: string;
  readonly frames: readonly (readonly [type: string, opcode: number, text: string])[];
  readonly events: readonly (readonly [name: string, id: string, data: string])[];
}

interface Entry {
  readonly request: { readonly url: string; readonly method: string };
  readonly response: {
    readonly status: number;
    readonly content: { readonly text?: string; readonly encoding?: string };
  };
  readonly _resourceType?: string;
  readonly _webSocketMessages?: readonly { type: string; opcode: number; data: string }[];
  readonly _eventSourceMessages?: readonly { eventName: string; eventId: string; data: string }[];
}

const IMPORT = (archive: string) =>
  `(async () => {
    const { HARFormat, Importer } = await import("/devtools/models/har/har.js");
    const { log } = new HARFormat.HARRoot(${archive});
    return Promise.all(Importer.Importer.requestsFromHARLog(log).map(async (request) => {
      const content = await request.requestContentData();
      return {
        url: request.url(),
        method: request.requestMethod,
        status: request.statusCode,
        type: request.resourceType().name(),
        body: "error" in content ? "" : content.isTextContent ? content.text : content.base64,
        frames: request.frames().map(({ type, opCode, text }) => [type, opCode, text]),
        events: request.eventSourceMessages().map(({ eventName, eventId, data }) => [eventName, eventId, data]),
      };
    }));
  })()`;

/** Evaluates an expression in a page that Chromium serves itself: where its developer tools are. */
async function inDevTools(folder: string, expression: string): Promise<unknown> {
  const profile = await Deno.makeTempDir({ dir: folder });
  const child = new Deno.Command(tool("chromium"), {
    args: [
      ...["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"],
      ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
      ...[
        `--user-data-dir=${profile}`,
        "--remote-debugging-port=0",
        "--remote-allow-origins=*",
        "about:blank",
      ],
    ],
    env: plainEnvironment({ HOME: folder }),
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  try {
    let said = "";
    let port: string | undefined;
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      said += text;
      port = /DevTools listening on ws:\/\/127\.0\.0\.1:(\d+)\//.exec(said)?.[1];
      if (port !== undefined) break;
    }
    assert(port !== undefined, `Chromium told no port of its own: ${said}`);
    const page = `http://127.0.0.1:${port}/devtools/models/har/har.js`;
    const opened = await fetch(`http://127.0.0.1:${port}/json/new?${page}`, { method: "PUT" });
    const { webSocketDebuggerUrl } = await opened.json() as { webSocketDebuggerUrl: string };
    return await evaluated(webSocketDebuggerUrl, page, expression);
  } finally {
    child.kill("SIGTERM");
    await child.status;
  }
}

interface Answer {
  readonly id?: number;
  readonly result?: {
    readonly result: { readonly value?: unknown };
    readonly exceptionDetails?: unknown;
  };
}

async function evaluated(url: string, page: string, expression: string): Promise<unknown> {
  const socket = new WebSocket(url);
  await new Promise((resolve) => socket.addEventListener("open", resolve, { once: true }));
  const waiting = new Map<number, (answer: Answer) => void>();
  socket.addEventListener("message", ({ data }) => {
    const answer = JSON.parse(data) as Answer;
    if (answer.id !== undefined) waiting.get(answer.id)?.(answer);
  });
  let id = 0;
  const evaluate = async (text: string): Promise<unknown> => {
    const { promise, resolve } = Promise.withResolvers<Answer>();
    waiting.set(++id, resolve);
    const params = { expression: text, awaitPromise: true, returnByValue: true };
    socket.send(JSON.stringify({ id, method: "Runtime.evaluate", params }));
    const { result } = await promise;
    assertEquals(result?.exceptionDetails, undefined);
    return result?.result.value;
  };
  try {
    // The page may still be on its way.
    while (await evaluate("location.href") !== page) await new Promise((resolve) => setTimeout(resolve, 20));
    return await evaluate(expression);
  } finally {
    socket.close();
  }
}

const EVENTS = "id: 1\ndata: one\n\nevent: delta\ndata: two\ndata: lines\n\n";
const JSON_TEXT = JSON.stringify({ menu: Array.from({ length: 50 }, (_, n) => ({ n, dish: "Käse" })) });

Deno.test("Chromium's developer tools import the archive of a log, with bodies, frames and events", async () => {
  const folder = await Deno.makeTempDir();
  const authority = makeAuthority();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  const certificate = authority.issue({ names: ["localhost"] });
  const origin = startStreamOrigin((request) => {
    switch (new URL(request.url).pathname) {
      case "/json": {
        const headers = { "content-type": "application/json", "content-encoding": "gzip" };
        return new Response(new Uint8Array(gzipSync(JSON_TEXT)), { headers });
      }
      case "/events":
        return new Response(EVENTS, { headers: { "content-type": "text/event-stream" } });
      case "/picture":
        return new Response(Uint8Array.of(0x89, 0x50, 0xff, 0), { headers: { "content-type": "image/png" } });
      default:
        return new Response("not found", { status: 404 });
    }
  }, certificate);
  const echo = await startEcho(certificate, false);
  await using proxy = await ProxyProcess.start("har-chromium", {
    config: `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n`,
  });
  for (const [path, ...more] of [["json"], ["events"], ["picture"], ["nope", "-d", "name=1&b=2"]]) {
    const { code } = await curlThrough(proxy, [...more, `https://localhost:${origin.port}/${path}`]);
    assertEquals(code, 0);
  }
  const peer = await openThrough(proxy, echo.port, "/chat", false);
  peer.socket.send("Grüße 😀");
  await peer.message();
  peer.socket.send(Uint8Array.of(1, 2, 255));
  await peer.message();
  await peer.close();
  await proxy.stop();
  const { code, stdout } = await soth("log", ["har", proxy.folder.log]);
  assertEquals(code, 0);
  const archive = JSON.parse(stdout) as { log: { entries: readonly Entry[] } };
  await validateHar(archive);
  const imported = await inDevTools(folder, IMPORT(stdout)) as readonly Imported[];
  assertEquals(
    imported,
    archive.log.entries.map(({ request, response, ...entry }, index) => ({
      url: request.url,
      method: request.method,
      status: response.status,
      type: entry._resourceType ?? imported[index]!.type,
      body: response.content.text ?? "",
      frames: (entry._webSocketMessages ?? []).map(({ type, opcode, data }) => [type, opcode, data] as const),
      events: (entry._eventSourceMessages ?? []).map((event) =>
        [event.eventName, event.eventId, event.data] as const
      ),
    })),
  );
  const [json, events, picture, missing, chat, ...rest] = imported;
  assertEquals(rest, []);
  assertEquals([json?.body, json?.status], [JSON_TEXT, 200]);
  assertEquals([events?.type, events?.events], ["eventsource", [["message", "1", "one"], [
    "delta",
    "1",
    "two\nlines",
  ]]]);
  assertEquals(picture?.body, "iVD/AA==");
  assertEquals([missing?.method, missing?.status, missing?.body], ["POST", 404, "not found"]);
  assertEquals(chat?.type, "websocket");
  assertEquals(chat?.frames.map(([type, opcode, text]) => [type, opcode, text]), [
    ["send", 1, "Grüße 😀"],
    ["receive", 1, "Grüße 😀"],
    ["send", 2, "AQL/"],
    ["receive", 2, "AQL/"],
    ["send", 8, "done"],
    ["receive", 8, "done"],
  ]);
  await origin.close();
  await echo.close();
  await Deno.remove(folder, { recursive: true });
});
