/**
 * Server-sent events as `curl -N` and Chromium's EventSource read them through the proxy, over HTTP/1.1 and HTTP/2:
 * the log has the events the clients had, when the clients had them, and an endless stream costs no memory.
 */
import { assert, assertEquals } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { trustInChromium, whileChromiumShows } from "../support/chromium.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { residentBytes } from "../support/resident.ts";
import {
  flushed,
  type FlushedCoding,
  type Pieces,
  startStreamOrigin,
  streamed,
  type StreamOrigin,
} from "../support/stream_origin.ts";
import { plainEnvironment, tool } from "../support/tools.ts";

const MIB = 1024 * 1024;
const CAPTURE_BYTES = 64 * 1024;

let folder: string;
let secure: StreamOrigin;
let proxy: ProxyProcess;

type Route = (request: Request) => Response | Promise<Response>;
const routes = new Map<string, Route>();

function route(request: Request): Response | Promise<Response> {
  const found = routes.get(new URL(request.url).pathname);
  return found === undefined ? new Response("not found\n", { status: 404 }) : found(request);
}

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  const authority = makeAuthority();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  secure = startStreamOrigin(route, authority.issue({ names: ["localhost"] }));
  proxy = await ProxyProcess.start("sse", { config: configuration() });
  await trustInChromium(folder, proxy.caPath);
});

Deno.test.afterAll(async () => {
  try {
    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    await secure.close();
    await Deno.remove(folder, { recursive: true });
  }
});

function configuration(): string {
  return `
    [tls]
    upstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}
    [capture]
    body_bytes = ${CAPTURE_BYTES}
  `;
}

const EVENT_STREAM = { "content-type": "text/event-stream; charset=utf-8" };

const octets = (text: string) => new TextEncoder().encode(text);

async function* piecesOf(...texts: readonly string[]): Pieces {
  for (const text of texts) yield await Promise.resolve(octets(text));
}

/** What a client sees of an event, and what is known of it besides. */
interface Expected {
  readonly type?: string;
  readonly data: string;
  readonly id: string;
  readonly more?: { readonly [name: string]: unknown };
}

const LONG = "0123456789".repeat(10_000);

/** What the standard is particular about, each with what becomes of it; the last is cut off. */
const PARTS: readonly (readonly [text: string, event: Expected | null])[] = [
  ["\ufeffretry: 150\n: a comment\n: and one\nid: 1\ndata: first\n\n", {
    data: "first",
    id: "1",
    more: { retry_ms: 150, comments: 2 },
  }],
  ["event: delta\r\nid: 2\r\ndata: line one\r\ndata:line two\r\ndata:\r\n\r\n", {
    type: "delta",
    data: "line one\nline two\n",
    id: "2",
  }],
  ["data: ended by CR\rid: 3\r\r", { data: "ended by CR", id: "3" }],
  ['data: {"text":"Hé 世界 😀"}\n\n', { data: '{"text":"Hé 世界 😀"}', id: "3" }],
  ["id\ndata: the id is empty again\n\n", { data: "the id is empty again", id: "" }],
  ["id: 4\0\ndata: an id with NUL is none\n\n", { data: "an id with NUL is none", id: "" }],
  ["retry: 15x\nunknown: field\nData: nor this\ndata\n\n", { data: "", id: "" }],
  ["event: only a type\n\n", null],
  [`id: 5\ndata: ${LONG}\n\n`, { data: LONG, id: "5" }],
  ["id: 6\ndata: last before the cut\n\n", { data: "last before the cut", id: "6" }],
];
const CUT = "event: delta\ndata: cut in the mi";
const EVENTS = PARTS.flatMap(([, event]) => event === null ? [] : [event]);

/** In pieces of a prime size, so that lines, line ends and characters are cut; then the response is. */
async function* cutStream(arrived: Promise<void>): Pieces {
  const all = octets(PARTS.map(([text]) => text).join("") + CUT);
  for (let start = 0; start < all.length; start += 8191) yield all.subarray(start, start + 8191);
  // What is still under way when the stream breaks may be lost with it.
  await arrived;
  throw new Error("cut by the test");
}

const told = ({ data, id, type = "message" }: Expected) => [type, data, id];

function assertLogHas(events: readonly LogEvent[], target: string, expected: readonly Expected[]): void {
  const request = events.find(({ kind, attributes }) =>
    kind === "request_headers" && attributes.target === target
  );
  const ofExchange = events.filter(({ stream_key, flow_id, kind }) =>
    kind === "sse_event" && stream_key === request?.stream_key && flow_id === request?.flow_id
  );
  const complete = ofExchange.filter(({ attributes }) => attributes.complete !== false);
  assertEquals(
    complete.map(({ attributes }) => attributes).map(({ event = "message", id = "", data }) => [
      event,
      data,
      id,
    ]),
    expected.map((one) => told({ ...one, data: one.data.slice(0, CAPTURE_BYTES) })),
  );
  for (const [index, { data, more = {} }] of expected.entries()) {
    const { attributes } = complete[index]!;
    const bytes = octets(data).length;
    assertEquals([attributes.index, attributes.bytes], [index, bytes]);
    assertEquals(attributes.truncated, bytes > CAPTURE_BYTES ? true : undefined);
    for (const name of ["retry_ms", "comments"]) assertEquals(attributes[name], more[name]);
  }
}

interface Reading {
  /** What has come so far. */
  text(): string;
  /** Waits until that holds `part`. */
  until(part: string): Promise<void>;
  readonly code: Promise<number>;
}

/** `curl -N` through the proxy, read while it runs. */
function curl(args: readonly string[], through = proxy): Reading {
  const child = new Deno.Command(tool("curl"), {
    args: [
      ...["-q", "-sS", "-N", "--max-time", "100", "-x", through.url, "--noproxy", "", "--cacert"],
      ...[through.caPath, ...args],
    ],
    env: plainEnvironment(),
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let text = "";
  let ended = false;
  let wake = () => {};
  const reading = (async () => {
    // A byte order mark is to be seen.
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream("utf-8", { ignoreBOM: true }))) {
      text += part;
      wake();
    }
    ended = true;
    wake();
  })();
  return {
    text: () => text,
    async until(part) {
      while (!text.includes(part)) {
        if (ended) throw new Error(`curl ended without ${JSON.stringify(part)}: ${text}`);
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    code: reading.then(() => child.status).then(({ code }) => code),
  };
}

const VERSIONS = ["HTTP/1.1", "HTTP/2"] as const;
const CURL_VERSION = { "HTTP/1.1": "--http1.1", "HTTP/2": "--http2" } as const;
const slug = (version: typeof VERSIONS[number]) => version === "HTTP/2" ? "h2" : "h1";

for (const version of VERSIONS) {
  Deno.test(`curl -N over ${version} gets what was sent, and the log has its events and what was cut off`, async () => {
    const path = `/curl/${slug(version)}`;
    const arrived = Promise.withResolvers<void>();
    routes.set(path, () => streamed(cutStream(arrived.promise), EVENT_STREAM));
    const { code, text, until } = curl([CURL_VERSION[version], `https://localhost:${secure.port}${path}`]);
    await until(CUT);
    arrived.resolve();
    assert(await code !== 0, "curl is told of the cut");
    assertEquals(text(), PARTS.map(([part]) => part).join("") + CUT);
    const events = await proxy.flow(path, ({ attributes }) => attributes.target === path);
    assertEquals(events.find(({ kind }) => kind === "request_headers")?.attributes.version, version);
    assertLogHas(events, path, EVENTS);
    const last = events.findLast(({ kind }) => kind === "sse_event")?.attributes;
    assertEquals([last?.complete, last?.event, last?.data], [false, "delta", "cut in the mi"]);
    const completed = events.find(({ kind }) => kind === "exchange_completed")?.attributes;
    assert(["reset", "server_aborted"].includes(String(completed?.outcome)), String(completed?.outcome));
  });

  Deno.test(`Chromium's EventSource over ${version} dispatches what the log has, and comes back with its last id`, async () => {
    const path = `/browser/${slug(version)}`;
    const reported = Promise.withResolvers<unknown>();
    const arrived = Promise.withResolvers<void>();
    const asked: (string | null)[] = [];
    routes.set(path, () => new Response(page(path), { headers: { "content-type": "text/html" } }));
    routes.set(`${path}/report`, async (request) => {
      reported.resolve(await request.json());
      return new Response("thanks\n");
    });
    routes.set(`${path}/seen`, () => {
      arrived.resolve();
      return new Response("thanks\n");
    });
    routes.set(`${path}/events`, (request) => {
      asked.push(request.headers.get("last-event-id"));
      return asked.length === 1
        ? streamed(cutStream(arrived.promise), EVENT_STREAM)
        : streamed(piecesOf("id: 7\nevent: done\ndata: over\n\n"), EVENT_STREAM);
    });
    const seen = await whileChromiumShows({
      folder,
      proxy,
      args: version === "HTTP/1.1" ? ["--disable-http2"] : [],
      url: `https://localhost:${secure.port}${path}`,
    }, reported.promise);
    const done = { type: "done", data: "over", id: "7" };
    assertEquals(seen, [...EVENTS, done].map(told));
    assertEquals(asked, [null, "6"]);
    const target = `${path}/events`;
    const isAgain = ({ kind, attributes }: LogEvent) =>
      kind === "sse_event" && attributes.event === "done" && attributes.data === "over";
    const { flow_id, stream_key } = (await proxy.events()).findLast(isAgain)!;
    const events = await proxy.events();
    assertLogHas(events, target, EVENTS);
    const again = events.find((event) =>
      event.kind === "request_headers" && event.flow_id === flow_id && event.stream_key === stream_key
    )?.attributes;
    assertEquals([again?.target, again?.version], [target, version]);
    assertEquals(
      (again?.headers as [string, string][]).find(([name]) => name.toLowerCase() === "last-event-id")?.[1],
      "6",
    );
  });

  const codings: readonly (FlushedCoding | null)[] = [null, "gzip", "br"];
  for (const coding of codings) {
    Deno.test(
      `over ${version} an event is with curl and in the log before the next is sent${
        coding === null ? "" : `, in ${coding} that is flushed`
      }`,
      async () => {
        const path = `/flushed/${slug(version)}/${coding ?? "identity"}`;
        const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
        async function* gated(): Pieces {
          for (const [index, gate] of gates.entries()) {
            yield octets(`id: ${index}\ndata: event ${index}\n\n`);
            await gate.promise;
          }
          yield octets("data: the last\n\n");
        }
        routes.set(
          path,
          () =>
            coding === null
              ? streamed(gated(), EVENT_STREAM)
              : streamed(flushed(coding, gated()), { ...EVENT_STREAM, "content-encoding": coding }),
        );
        const reading = curl([
          ...[CURL_VERSION[version], "--compressed"],
          `https://localhost:${secure.port}${path}`,
        ]);
        for (const [index, gate] of gates.entries()) {
          await reading.until(`data: event ${index}\n\n`);
          const { flow_id } = await proxy.eventually(path, ({ attributes }) => attributes.target === path);
          await proxy.eventually(
            `event ${index} of ${path}`,
            (event) =>
              event.flow_id === flow_id && event.kind === "sse_event" &&
              event.attributes.data === `event ${index}`,
          );
          const over = (await proxy.events()).some((event) =>
            event.flow_id === flow_id && event.kind === "exchange_completed"
          );
          assert(!over, "the response is still open");
          gate.resolve();
        }
        assertEquals(await reading.code, 0);
        const events = await proxy.flow(path, ({ attributes }) => attributes.target === path);
        const data = events.filter(({ kind }) => kind === "sse_event").map(({ attributes }) =>
          attributes.data
        );
        assertEquals(data, ["event 0", "event 1", "the last"]);
        assertEquals(events.filter(({ kind }) => kind === "decoder_failed"), []);
      },
    );
  }
}

function page(path: string): string {
  return `<!doctype html><meta charset=utf-8><link rel=icon href=data:,><title>events</title><script>
    const seen = [];
    const source = new EventSource(${JSON.stringify(`${path}/events`)});
    for (const type of ["message", "delta", "done"]) {
      source.addEventListener(type, ({ data, lastEventId }) => {
        seen.push([type, data, lastEventId]);
        if (lastEventId === "6") fetch(${JSON.stringify(`${path}/seen`)});
        if (type !== "done") return;
        source.close();
        fetch(${JSON.stringify(`${path}/report`)}, { method: "POST", body: JSON.stringify(seen) });
      });
    }
  </script>`;
}

Deno.test("streams of 200,000 events come through whole, and the third needs no more memory than the second", async () => {
  const count = 200_000;
  const each = 200;
  const text = (index: number) => `id: ${index}\ndata: event ${index} ${"x".repeat(40)}\n\n`;
  // With a log of its own: it is longer than all others together.
  const state = await Deno.makeTempDir();
  await using own = await ProxyProcess.start("sse-endless", {
    config: configuration(),
    folder: { state, log: `${state}/events.jsonl` },
  });
  const memory = [await residentBytes(own.pid)];
  async function* endless(): Pieces {
    for (let first = 0; first < count; first += each) {
      if (first % 50_000 === 0) memory.push(await residentBytes(own.pid));
      yield octets(Array.from({ length: each }, (_, index) => text(first + index)).join(""));
    }
  }
  routes.set("/endless", () => streamed(endless(), EVENT_STREAM));
  const whole = Array.from({ length: count }, (_, index) => text(index)).join("");
  for (let stream = 0; stream < 3; stream++) {
    const reading = curl([`https://localhost:${secure.port}/endless`], own);
    assertEquals(await reading.code, 0);
    assert(reading.text() === whole, "curl has every event");
    memory.push(await residentBytes(own.pid));
  }
  const told = await own.kill("SIGTERM").then(() => countLines(own.folder.log, '"kind":"sse_event"'));
  assertEquals(told, 3 * count);
  await own.verifyLog();
  const figures = memory.map((bytes) => (bytes / MIB).toFixed(1)).join(", ");
  console.log(`RSS MiB, idle, then at each 50,000 events of three streams: ${figures}`);
  // The heap grows to what the collector lets it be, once, and takes more than one stream for that.
  const growth = memory.at(-1)! - memory[10]!;
  assert(growth < 32 * MIB, `${(growth / MIB).toFixed(1)} MiB more after the third: ${figures}`);
});

async function countLines(path: string, part: string): Promise<number> {
  let count = 0;
  let rest = "";
  for await (const text of (await Deno.open(path)).readable.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop()!;
    count += lines.filter((line) => line.includes(part)).length;
  }
  return count;
}
