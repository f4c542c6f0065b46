/**
 * Content in every coding, made by other people's encoders, through the proxy in both directions: the log says what
 * it held before it was coded. And a bomb of each kind: the client has every octet, the observer gives up and
 * names the stage, and the proxy's memory stays what it was.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { Buffer } from "node:buffer";
import type { AttributeValue } from "../../src/core/event.ts";
import { makeAuthority, type TestAuthority } from "../support/certificates.ts";
import { curlThrough } from "../support/curl.ts";
import { sha256Hex } from "../support/origin.ts";
import { certificateArgs, endLane, makeServerFolder } from "../support/lane.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { residentBytes } from "../support/resident.ts";
import { type ServerProcess, startOnFreePorts, startPeer } from "../support/server_process.ts";
import { flushed, type FlushedCoding } from "../support/stream_origin.ts";
import { type Outcome, run, tool } from "../support/tools.ts";
import { openThrough, startEcho } from "../support/ws_peers.ts";

const MIB = 1024 * 1024;

let folder: string;
let authority: TestAuthority;
let peer: ServerProcess;
let nginx: ServerProcess;
let proxy: ProxyProcess;
let bombed: ProxyProcess;

const octets = (text: string) => new TextEncoder().encode(text);

const MENU = JSON.stringify({ menu: Array.from({ length: 300 }, (_, n) => ({ n, dish: `Käse ${n % 7}` })) });

Deno.test.beforeAll(async () => {
  authority = makeAuthority();
  folder = await makeServerFolder(authority);
  await Deno.mkdir(`${folder}/site`);
  await Deno.writeTextFile(`${folder}/site/menu.json`, MENU);
  await Deno.writeTextFile(`${folder}/site/menu.html`, `<!doctype html><title>menu</title>${MENU}`);
  peer = await startPeer(tool("payloadPeer"), certificateArgs(folder));
  nginx = await startNginx();
  const config = (more = "") => `
    [tls]
    upstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}
    [capture]
    payload_bytes = "64KiB"
    ${more}
  `;
  proxy = await ProxyProcess.start("decoders", { config: config() });
  bombed = await ProxyProcess.start("bombs", { config: config('body_bytes = "64KiB"') });
});

Deno.test.afterAll(() => endLane(folder, [proxy, bombed], [peer, nginx]));

function startNginx(): Promise<ServerProcess> {
  return startOnFreePorts(tool("nginx"), 1, async ([https]) => {
    await Deno.writeTextFile(
      `${folder}/nginx.conf`,
      `
        daemon off;
        master_process off;
        pid ${folder}/nginx.pid;
        events {}
        http {
          types { text/html html; application/json json; }
          access_log off;
          client_body_temp_path ${folder}/bodies;
          proxy_temp_path ${folder}/proxied;
          fastcgi_temp_path ${folder}/fastcgi;
          uwsgi_temp_path ${folder}/uwsgi;
          scgi_temp_path ${folder}/scgi;
          gzip on;
          gzip_types application/json;
          charset utf-8;
          ssl_certificate ${folder}/server.pem;
          ssl_certificate_key ${folder}/server.key;
          server { listen 127.0.0.1:${https} ssl; server_name localhost; root ${folder}/site; }
        }
      `,
    );
    return ["-p", folder, "-c", `${folder}/nginx.conf`, "-e", "stderr"];
  });
}

/** What the log has of one curl's exchanges. */
interface Told extends Outcome {
  readonly of: (kind: string, direction?: string) => LogEvent["attributes"][];
}

async function exchange(args: readonly string[], stdin: string | Uint8Array = ""): Promise<Told> {
  const before = (await proxy.events()).length;
  const outcome = await curlThrough(proxy, args, { stdin });
  assertEquals(outcome.code, 0, outcome.stderr);
  const events = await proxy.eventsAfter(before);
  return {
    ...outcome,
    of: (kind, direction) =>
      events.filter((event) =>
        event.kind === kind && (direction === undefined || event.attributes.direction === direction)
      ).map(({ attributes }) => attributes),
  };
}

const coded = (codings: string, type: string, flush = 0) =>
  `https://localhost:${peer.ports[0]}/coded/${codings}?${new URLSearchParams({
    type,
    ...(flush === 0 ? {} : { flush: String(flush) }),
  })}`;

interface Sample {
  readonly name: string;
  readonly type: string;
  readonly content: Uint8Array;
  /** What the log is to say of it, whatever the coding. */
  readonly payloads: readonly { readonly [name: string]: AttributeValue }[];
  /** The stage that takes units out of it. */
  readonly framing?: string;
  /** Of units in it, in the order of the events of this kind. */
  readonly units?: { readonly kind: string; readonly data: readonly string[] };
  /** What the body events hold. */
  readonly body?: string;
}

const json = (value: AttributeValue, more: { readonly [name: string]: AttributeValue } = {}) => ({
  format: "json",
  value,
  sanitized: false,
  ...more,
});

const GUARDS: readonly (readonly [before: string, after: string, rule: string])[] = [
  [")]}'\n", "", "paren_brackets"],
  [")]}',\n", "", "paren_brackets"],
  ["while(1);", "", "while_loop"],
  ["for (;;);", "", "for_loop"],
  ["/* keep out */ ", "", "comment"],
  ["/*-secure-\n", "\n*/", "comment_wrap"],
];

const SAMPLES: readonly Sample[] = [
  {
    name: "JSON",
    type: "application/json",
    content: octets(MENU),
    payloads: [json(JSON.parse(MENU))],
  },
  ...GUARDS.map(([before, after, rule]) => ({
    name: `JSON behind ${JSON.stringify(before)}`,
    type: "application/json; charset=utf-8",
    content: octets(`${before}{"a":[1,"é"]}${after}`),
    payloads: [json({ a: [1, "é"] }, { sanitized: true, sanitizer: rule })],
  })),
  {
    name: "a guard without JSON",
    type: "text/plain",
    content: octets(")]}' is what I typed"),
    payloads: [{ format: "text", value_omitted: true, sanitized: false }],
    body: ")]}' is what I typed",
  },
  {
    name: "text in UTF-8",
    type: "text/plain",
    content: octets("Grüße, 世界 😀\n".repeat(100)),
    payloads: [{ format: "text", value_omitted: true }],
    body: "Grüße, 世界 😀\n".repeat(100),
  },
  {
    name: "text in ISO 8859-1",
    type: "text/plain; charset=ISO-8859-1",
    content: Buffer.from("Grüße, Señor", "latin1"),
    payloads: [{ format: "text", value: "Grüße, Señor" }],
  },
  {
    name: "text in Shift_JIS",
    type: 'text/plain; charset="Shift_JIS"',
    content: Uint8Array.fromHex("93fa967b8cea"),
    payloads: [{ format: "text", value: "日本語" }],
  },
  {
    name: "text in UTF-16",
    type: "text/plain;charset=utf-16le",
    content: Buffer.from("Grüße 😀", "utf16le"),
    payloads: [{ format: "text", value: "Grüße 😀" }],
  },
  {
    name: "a form",
    type: "application/x-www-form-urlencoded",
    content: octets("name=J%C3%BCrgen+M&n=1&n=2&empty="),
    payloads: [{ format: "form", value: [["name", "Jürgen M"], ["n", "1"], ["n", "2"], ["empty", ""]] }],
  },
  {
    name: "NDJSON",
    type: "application/x-ndjson",
    content: octets('{"n":1}\n[2,"é"]\r\n"three"'),
    payloads: [json({ n: 1 }, { index: 0 }), json([2, "é"], { index: 1 }), json("three", { index: 2 })],
    framing: "ndjson",
    units: { kind: "ndjson_line", data: ['{"n":1}', '[2,"é"]', '"three"'] },
  },
  {
    name: "server-sent events",
    type: "text/event-stream",
    content: octets('data: {"delta":"Hé"}\n\ndata: [DONE]\n\n'),
    payloads: [json({ delta: "Hé" }, { index: 0 })],
    framing: "sse",
    units: { kind: "sse_event", data: ['{"delta":"Hé"}', "[DONE]"] },
  },
  {
    name: "a picture",
    type: "image/png",
    content: Uint8Array.fromHex("89504e470d0a1a0a00ff00ff"),
    payloads: [{ format: "binary", sha256: sha256Hex(Uint8Array.fromHex("89504e470d0a1a0a00ff00ff")) }],
  },
];

/** A sample's events: that each has what is expected, and the codings it came out of. */
function assertTold(
  { of }: Told,
  direction: string,
  { name, payloads, units, framing, body }: Sample,
  codings: readonly string[],
): void {
  const head = of(direction === "request" ? "request_headers" : "response_headers")[0];
  const chunked = (head?.headers as [string, string][])
    .some(([field]) => field.toLowerCase() === "transfer-encoding");
  const what = `${name}, ${direction}, ${codings.join()}`;
  assertEquals(of("decoder_failed", direction), [], what);
  const decoded = of("payload_decoded", direction);
  assertEquals(decoded.length, payloads.length, what);
  for (const [index, expected] of payloads.entries()) {
    const { stages, ...rest } = decoded[index]!;
    assertEquals({ ...rest, ...expected }, rest, what);
    assertEquals(stages, [
      ...(chunked ? ["chunked"] : []),
      ...codings,
      ...(framing === undefined ? [] : [framing]),
      ...(expected.sanitized === true ? ["sanitizer"] : []),
      expected.format,
    ], what);
  }
  if (body !== undefined) {
    const kind = direction === "request" ? "request_body_chunk" : "response_body_chunk";
    assertEquals(of(kind).map(({ data }) => data).join(""), body, what);
  }
  if (units !== undefined) assertEquals(of(units.kind).map(({ data }) => data), units.data, what);
}

/** As the peer names them, in the order in which they are applied. */
const STACKS = [
  "gzip",
  "deflate",
  "deflate-raw",
  "br",
  "zstd",
  "gzip,br",
  "zstd,gzip",
  "deflate,gzip,zstd,br",
] as const;

/** The codings as they are called on the wire, and in the order in which they come off. */
const cameOff = (stack: string) =>
  stack.split(",").map((coding) => coding.replace("deflate-raw", "deflate")).toReversed();

for (const stack of STACKS) {
  Deno.test(`what Go's encoders of ${stack} give the log says as it was before, whole and flushed piece by piece`, async () => {
    for (const [index, sample] of SAMPLES.entries()) {
      for (const flush of [0, 7]) {
        // The larger ones in pieces of seven octets would only repeat themselves.
        if (flush > 0 && sample.content.length > 1000) continue;
        const told = await exchange([
          ...[index % 2 === 0 ? "--http2" : "--http1.1", "--data-binary", "@-"],
          ...["-H", "Content-Type: application/octet-stream", coded(stack, sample.type, flush)],
        ], sample.content);
        assertTold(told, "response", sample, cameOff(stack));
      }
    }
  });
}

async function* piecesOf(content: Uint8Array, size: number) {
  for (let start = 0; start < content.length; start += size) {
    yield await Promise.resolve(content.subarray(start, start + size));
  }
}

async function encoded(stack: string, content: Uint8Array, flush: number): Promise<Uint8Array> {
  let all = content;
  for (const coding of stack.split(",")) {
    const coded = await Array.fromAsync(flushed(coding as FlushedCoding, piecesOf(all, flush)));
    all = Uint8Array.from(Buffer.concat(coded));
  }
  return all;
}

for (const stack of ["gzip", "deflate", "deflate-raw", "br", "zstd", "br,gzip"]) {
  Deno.test(`what clients send in ${stack} the log says as it was before, and the server has it as it was sent`, async () => {
    for (const [index, sample] of SAMPLES.entries()) {
      if (sample.type === "text/event-stream") continue; // Told of responses and requests alike; once is enough.
      const content = await encoded(stack, sample.content, sample.content.length > 1000 ? 1000 : 5);
      const told = await exchange([
        ...[index % 2 === 0 ? "--http1.1" : "--http2", "--data-binary", "@-"],
        ...["-H", `Content-Type: ${sample.type}`],
        ...["-H", `Content-Encoding: ${cameOff(stack).toReversed().join(", ")}`],
        coded("identity", "application/octet-stream"),
      ], content);
      assertEquals(Uint8Array.from(told.stdoutBytes), content);
      assertTold(told, "request", sample, cameOff(stack));
    }
  });
}

Deno.test("the parts of a form that curl uploads are told, and so is a form that it encodes", async () => {
  await Deno.writeTextFile(`${folder}/notes.txt`, "two\r\nlines");
  const { of } = await exchange([
    ...["-F", "title=Grüße", "-F", `notes=@${folder}/notes.txt;type=text/plain`],
    coded("gzip", "application/octet-stream"),
  ]);
  assertEquals(of("multipart_part").map(({ index, bytes }) => [index, bytes]), [[0, 7], [1, 10]]);
  const [, notes] = of("multipart_part").map(({ headers }) => new Map(headers as [string, string][]));
  assertStringIncludes(notes?.get("Content-Disposition") ?? "", 'name="notes"; filename="notes.txt"');
  const form = await exchange([
    ...["--data-urlencode", "q=a&b=c d", "--data-urlencode", "ü=1"],
    coded("br", "text/plain"),
  ]);
  const [posted] = form.of("payload_decoded", "request");
  assertEquals([posted?.format, posted?.value], ["form", [["q", "a&b=c d"], ["ü", "1"]]]);
});

Deno.test("nginx with gzip on: its JSON and its pages are told as they lie on its disk", async () => {
  for (const version of ["--http1.1", "--http1.0"]) {
    const site = `https://localhost:${nginx.ports[0]}`;
    const answer = await exchange(["--compressed", version, `${site}/menu.json`]);
    assertEquals(answer.stdout, MENU);
    const [payload] = answer.of("payload_decoded", "response");
    assertEquals(payload?.value, version === "--http1.1" ? JSON.parse(MENU) : payload?.value);
    if (version === "--http1.0") continue; // nginx does not compress for these.
    assertEquals(payload?.stages, ["chunked", "gzip", "json"]);
    const page = await exchange(["--compressed", version, `${site}/menu.html`]);
    const [text] = page.of("payload_decoded", "response");
    assertEquals([text?.format, text?.stages], ["text", ["chunked", "gzip", "text"]]);
    assertEquals(page.of("response_body_chunk").map(({ data }) => data).join(""), page.stdout);
  }
});

const bomb = (codings: string, mib: number, type: string, head = "", octet = 0) =>
  `https://localhost:${peer.ports[0]}/bomb/${codings}?${new URLSearchParams({
    mib: String(mib),
    type,
    head,
    octet: String(octet),
  })}`;

interface Bombing {
  readonly name: string;
  /** Sets it off, sees that its client has every octet, and gives what the log says of it. */
  play(): Promise<{ readonly bytes: number; readonly events: readonly LogEvent[] }>;
  /** What the log is to say. */
  readonly says: (events: readonly LogEvent[]) => string;
}

const attributesOf = (events: readonly LogEvent[], kind: string) =>
  events.filter((event) => event.kind === kind).map(({ attributes }) => attributes);

/** The stage and the reason of the one failure there is. */
const failure = (stage: string, reason: string) => (events: readonly LogEvent[]) => {
  const failures = attributesOf(events, "decoder_failed");
  assert(failures.length > 0, "nothing failed");
  for (const one of failures) {
    assertEquals(one.stage, stage);
    assertStringIncludes(String(one.reason), reason);
  }
  return `${stage}: ${failures[0]?.reason}`;
};

/** A unit that is cut at its limit, and so told. */
const cutUnit = (kind: string) => (events: readonly LogEvent[]) => {
  const units = attributesOf(events, kind);
  assertEquals(units.map(({ truncated, index }) => [truncated, index]), [[true, 0]]);
  assert(Number(units[0]?.bytes) >= 64 * MIB);
  assertEquals(attributesOf(events, "payload_decoded"), []);
  return `${kind}: ${units[0]?.bytes} octets, told to the first ${String(units[0]?.data).length}`;
};

/** The same with curl directly and through the proxy. */
function fetched(url: () => string, content?: Uint8Array): Bombing["play"] {
  return async () => {
    const post = content === undefined ? [] : ["--data-binary", "@-", "-H", "Content-Type: text/plain"];
    const options = { timeoutMs: 100_000, ...(content === undefined ? {} : { stdin: content }) };
    const direct = await run(tool("curl"), [
      ...["-q", "-sS", "--cacert", `${folder}/root.pem`, ...post, url()],
    ], options);
    assertEquals(direct.code, 0, direct.stderr);
    const before = (await bombed.events()).length;
    const through = await curlThrough(bombed, ["--max-time", "100", ...post, url()], options);
    assertEquals(through.code, 0, through.stderr);
    assertEquals(through.stdoutBytes.length, direct.stdoutBytes.length);
    assertEquals(sha256Hex(through.stdoutBytes), sha256Hex(direct.stdoutBytes));
    return { bytes: through.stdoutBytes.length, events: await bombed.eventsAfter(before) };
  };
}

const RATIO = "limits.inflate_ratio";
const [COLON, LETTER] = [0x3a, 0x61];

/** Says of a map of 4,294,967,295 pairs that the first is such a map, and so on. */
const MAPS = Uint8Array.from({ length: 50_000 }, (_, index) => index % 5 === 0 ? 0xdf : 0xff);

const BOMBS: readonly Bombing[] = [
  {
    name: "gzip, 1 GiB",
    play: fetched(() => bomb("gzip", 1024, "application/json")),
    says: failure("content_coding", RATIO),
  },
  {
    name: "deflate, 256 MiB",
    play: fetched(() => bomb("deflate", 256, "application/json")),
    says: failure("content_coding", RATIO),
  },
  {
    name: "deflate without wrapper, 256 MiB",
    play: fetched(() => bomb("deflate-raw", 256, "text/plain")),
    says: failure("content_coding", RATIO),
  },
  {
    name: "br, 256 MiB",
    play: fetched(() => bomb("br", 256, "application/json")),
    says: failure("content_coding", RATIO),
  },
  {
    name: "zstd, 256 MiB",
    play: fetched(() => bomb("zstd", 256, "application/octet-stream")),
    says: failure("content_coding", RATIO),
  },
  {
    name: "gzip in gzip, 1 GiB",
    play: fetched(() => bomb("gzip,gzip", 1024, "application/json")),
    says: failure("content_coding", RATIO),
  },
  {
    name: "an SSE line in gzip, 256 MiB",
    play: fetched(() => bomb("gzip", 256, "text/event-stream", "data: ", LETTER)),
    says: failure("content_coding", RATIO),
  },
  {
    name: "an SSE line, 64 MiB",
    play: fetched(() => bomb("identity", 64, "text/event-stream", "data: ", LETTER)),
    says: cutUnit("sse_event"),
  },
  {
    name: "an NDJSON line, 64 MiB",
    play: fetched(() => bomb("identity", 64, "application/x-ndjson", '"', COLON)),
    says: cutUnit("ndjson_line"),
  },
  {
    name: "JSON, 30,000 deep",
    play: fetched(
      () => coded("identity", "application/json"),
      octets("[".repeat(30_000) + "]".repeat(30_000)),
    ),
    says: failure("payload", "json: nested deeper"),
  },
  {
    name: "MsgPack, maps of 4 Gi pairs",
    play: fetched(() => coded("identity", "application/msgpack"), MAPS),
    says: failure("payload", "a map of 4294967295"),
  },
  {
    name: "WebSocket, permessage-deflate, 64 MiB",
    play: webSocketBomb,
    says: failure("content_coding", RATIO),
  },
];

async function webSocketBomb(): Promise<{ bytes: number; events: readonly LogEvent[] }> {
  const server = await startEcho(authority.issue({ names: ["localhost"] }), { threshold: 0 });
  const before = (await bombed.events()).length;
  const client = await openThrough(bombed, server.port, "/", { threshold: 0 });
  const sent = new Uint8Array(64 * MIB);
  client.socket.send(sent);
  const answer = await client.message();
  assertEquals(sha256Hex(answer as Uint8Array), sha256Hex(sent));
  await client.close();
  const events = await bombed.eventsAfter(before);
  await server.close();
  const bytes = attributesOf(events, "ws_message").reduce((sum, message) => sum + Number(message.bytes), 0);
  return { bytes, events };
}

Deno.test("a bomb of each kind reaches its client whole, is given up at its stage, and costs the proxy no memory", async (t) => {
  // What relaying as such takes it has taken before: the largest transfer there is, and a first of each decoder.
  await fetched(() => bomb("identity", 64, "application/octet-stream"))();
  for (const coding of ["gzip", "deflate", "br", "zstd"]) {
    await fetched(() => bomb(coding, 2, "application/json"))();
  }
  const mib = (bytes: number) => (bytes / MIB).toFixed(1);
  const start = await residentBytes(bombed.pid);
  const table = ["bomb | octets on the wire | what the log says | RSS MiB before | most | after"];
  for (const { name, play, says } of BOMBS) {
    await t.step(name, async () => {
      const before = await residentBytes(bombed.pid);
      let most = before;
      let over = false;
      const watching = (async () => {
        while (!over) {
          most = Math.max(most, await residentBytes(bombed.pid));
          // Each look is a process, and the machine has other things to do.
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      })();
      const { bytes, events } = await play().finally(() => over = true);
      await watching;
      const after = await residentBytes(bombed.pid);
      const said = says(events);
      table.push([name, bytes, said, mib(before), mib(most), mib(after)].join(" | "));
      assertEquals(attributesOf(events, "stream_closed").map(({ reason_code }) => reason_code), ["complete"]);
      assert(most - before < 96 * MIB, `${mib(most - before)} MiB more meanwhile`);
      assert(after - before < 64 * MIB, `${mib(after - before)} MiB more afterwards`);
    });
  }
  const end = await residentBytes(bombed.pid);
  console.log([...table, `RSS MiB before all of them ${mib(start)}, after ${mib(end)}`].join("\n"));
  assert(end - start < 64 * MIB, `${mib(end - start)} MiB more after all bombs`);
});
