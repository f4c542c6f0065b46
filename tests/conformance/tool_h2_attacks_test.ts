/**
 * A hostile peer plays each attack on HTTP/2 against a running proxy, as its client or as its server, while a
 * good client gets its answers through the same proxy: each connection ends with the code and the reason it
 * should, and the proxy's memory stays flat. Prints a table of it.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import * as http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { encodeData, encodeWindowUpdate } from "../../src/http2/frame_writer.ts";
import { http2Limits } from "../../src/proxy/session_config.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";
import { frame, T } from "../http2/frame_builder.ts";
import { block, request, response } from "../http2/messages.ts";
import { makeAuthority } from "../support/certificates.ts";
import { type Attack, ATTACKS, type AttackStage } from "../support/http2_attacks.ts";
import {
  connectThrough,
  Http2Peer,
  type Http2PeerOptions,
  type RawHttp2Origin,
  startRawHttp2Origin,
} from "../support/http2_peer.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { residentBytes } from "../support/resident.ts";

/** Connections that play each attack, one after the other. */
const CONNECTIONS = 5;
/**
 * What one attack may add to the resident memory, and all of them. The runtime's own buffers and heap swing by
 * some tens of MiB however often an attack is repeated; what piled up would be more with each.
 */
const GROWTH_BYTES_MAX = 64 * 1024 * 1024;
const TOTAL_GROWTH_BYTES_MAX = 112 * 1024 * 1024;
const EXCHANGE_IDLE_MS = 1_500;
const MiB = 1024 * 1024;

const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });
const limits = http2Limits(
  settingsFromValues({ values: { state_dir: "/x" }, env: {}, cwd: "/", checkGrants: false }).settings,
);

let folder: string;
let proxy: ProxyProcess;
let ca: string;
let good: GoodClient;
let rssAtStart = 0;
const table: string[] = [];

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  proxy = await ProxyProcess.start("h2-attacks", {
    config: `
      [tls]
      upstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}
      [timeouts]
      exchange_idle = "${EXCHANGE_IDLE_MS}ms"
      head = "1s"
    `,
  });
  ca = await Deno.readTextFile(proxy.caPath);
  good = await GoodClient.start();
  // What a proxy needs for its first connections is no growth.
  for (const attack of ATTACKS) for (const { port } of await play(attack, 2)) await closedFlow(port);
  await upload(64 * MiB);
  await stallUploads();
  rssAtStart = await residentBytes(proxy.pid);
});

Deno.test.afterAll(async () => {
  try {
    await good.stop();
    const growth = await residentBytes(proxy.pid) - rssAtStart;
    console.log(
      ["attack", "code", "reason", "rounds", "frames that passed", "RSS MiB before", "after"].join(" | "),
    );
    for (const row of table) console.log(row);
    console.log(
      `RSS over all attacks: ${
        (growth / MiB).toFixed(1)
      } MiB more; the good client got ${good.answers} answers, ` +
        `the slowest after ${Math.round(good.slowestMs)} ms`,
    );
    assert(growth < TOTAL_GROWTH_BYTES_MAX, `${growth} bytes more`);
    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

/** Asks on and on, eight at a time, over one connection to a server of another make. */
class GoodClient {
  answers = 0;
  slowestMs = 0;
  readonly failures: string[] = [];
  #stopping = false;
  readonly #workers: Promise<void>[];

  private constructor(
    private readonly server: http2.Http2SecureServer,
    private readonly session: http2.ClientHttp2Session,
  ) {
    session.on("error", (error) => this.failures.push(String(error)));
    session.on("close", () => this.#stopping || this.failures.push("the session was closed"));
    this.#workers = Array.from({ length: 8 }, () => this.#work());
  }

  static async start(): Promise<GoodClient> {
    const server = http2.createSecureServer({ cert: certificate.certPem, key: certificate.keyPem });
    server.on("stream", (stream) => {
      stream.respond({ ":status": 200 });
      stream.end("x".repeat(1024));
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    const socket = await connectThrough(proxy, port, ca);
    const session = http2.connect(`https://localhost:${port}`, { createConnection: () => socket });
    return new GoodClient(server, session);
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#workers);
    this.session.close();
    await new Promise<void>((resolve) => this.server.close(() => resolve()));
    assertEquals(this.failures, []);
  }

  async #work(): Promise<void> {
    while (!this.#stopping && this.failures.length === 0) {
      const began = performance.now();
      const stream = this.session.request({ ":path": "/" });
      let bytes = 0;
      stream.on("data", (data: Uint8Array) => bytes += data.length);
      await new Promise<void>((resolve) => {
        stream.on("error", (error) => this.failures.push(String(error)));
        stream.on("close", () => resolve());
      });
      if (bytes !== 1024) this.failures.push(`an answer of ${bytes} bytes`);
      this.answers++;
      this.slowestMs = Math.max(this.slowestMs, performance.now() - began);
      // Often enough to notice, and no load of its own.
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

interface Played {
  readonly port: number;
  readonly rounds: number;
  readonly passed: number;
  readonly goaways: readonly (string | null)[];
}

async function withPeers(
  options: { client?: Http2PeerOptions; server?: Http2PeerOptions },
  work: (client: Http2Peer, server: Http2Peer, origin: RawHttp2Origin) => Promise<void>,
): Promise<void> {
  const origin = await startRawHttp2Origin(certificate, options.server);
  try {
    const client = new Http2Peer(await connectThrough(proxy, origin.port, ca), "client", options.client);
    const server = await origin.next();
    await work(client, server, origin);
    client.close();
    server.close();
  } finally {
    await origin.close();
  }
}

async function play(attack: Attack, connections: number): Promise<Played[]> {
  const played: Played[] = [];
  for (let count = 0; count < connections; count++) {
    const { by, serverSettings = [], before, round } = attack;
    await withPeers({ server: { settings: serverSettings } }, async (client, server, { port }) => {
      const victim = by === "client" ? server : client;
      const stage: AttackStage = {
        say: (side, ...frames) => void (side === "client" ? client : server).send(...frames),
        reaches: async (streamId) => {
          await server.until(() => server.highestStream >= streamId);
        },
      };
      const over = () => client.closed || server.closed || client.goaway?.endsWith(attack.code) === true;
      await client.hears("SETTINGS ack");
      await server.hears("SETTINGS ack");
      await before?.(stage);
      const roundsMax = 3 * attack.allowed(limits) + 20_000;
      let rounds = 0;
      while (!over() && rounds < roundsMax) {
        await round(stage, 2 * rounds + (rounds < 4500 ? 1 : 1001));
        if (++rounds % 32 === 0) {
          await client.flushed();
          await new Promise((resolve) => setTimeout(resolve, 0));
        }
      }
      await client.until(() => client.goaway?.endsWith(attack.code) === true);
      await server.until(() => server.goaway?.endsWith(attack.code) === true);
      const passed = Object.values(victim.counts).reduce((sum, frames) => sum + frames, 0);
      played.push({ port, rounds, passed, goaways: [client.goaway, server.goaway] });
    });
  }
  return played;
}

/** Flows that were looked at: a port is given out again. */
const seen = new Set<string>();

/** An honest upload, for the buffers that the runtime keeps once much has passed. */
async function upload(bytes: number): Promise<void> {
  await withPeers({}, async (client, server) => {
    client.send(request(1, { ":method": "POST" }, false));
    for (let sent = 0; sent < bytes; sent += 16_000) {
      client.send(encodeData(1, new Uint8Array(16_000), sent + 16_000 >= bytes));
      await client.flushed();
    }
    await server.until(() => server.contentBytes >= bytes);
  });
}

/** Bodies that each stop just before the end of a span of the log; gives how many requests have passed. */
async function stallUploads(): Promise<number> {
  let passed = 0;
  await withPeers({}, async (client, server, { port }) => {
    for (let stream = 1; stream < 2000; stream += 2) {
      client.send(request(stream, { ":method": "POST" }, false));
      client.send(encodeData(stream, new Uint8Array(16_000), false));
      await client.flushed();
    }
    await server.until(() => server.contentBytes === 16_000_000);
    passed = server.counts["HEADERS"] ?? 0;
    assertEquals((await closedFlow(port)).attributes.reason_code, "idle_timeout");
  });
  return passed;
}

async function closedFlow(port: number): Promise<LogEvent> {
  const closed = await proxy.eventually(
    `the end of the flow to port ${port}`,
    ({ kind, server_port, flow_id }) =>
      kind === "stream_closed" && server_port === port && !seen.has(flow_id),
  );
  seen.add(closed.flow_id);
  return closed;
}

/** Plays, measures around it, writes a row, and sees that the good client was answered meanwhile. */
async function measured(name: string, work: () => Promise<readonly string[]>): Promise<void> {
  const answersBefore = good.answers;
  const before = await residentBytes(proxy.pid);
  const cells = await work();
  const after = await residentBytes(proxy.pid);
  table.push([name, ...cells, (before / MiB).toFixed(1), (after / MiB).toFixed(1)].join(" | "));
  assert(after - before < GROWTH_BYTES_MAX, `${name}: memory grew by ${after - before} bytes`);
  assertEquals(good.failures, []);
  assert(good.answers > answersBefore, "the good client got answers meanwhile");
}

for (const attack of ATTACKS) {
  Deno.test(`${attack.name} by the ${attack.by} ends its connection, and nobody else notices`, () =>
    measured(`${attack.name} (${attack.by})`, async () => {
      const played = await play(attack, CONNECTIONS);
      const calm = attack.code === "ENHANCE_YOUR_CALM";
      for (const { port, goaways } of played) {
        for (const goaway of goaways) assert(goaway?.endsWith(` ${attack.code}`), String(goaway));
        const { reason_code, reason_detail } = (await closedFlow(port)).attributes;
        assertEquals(reason_code, calm ? "limit_exceeded" : "protocol_error");
        if (attack.setting !== null) assertStringIncludes(String(reason_detail), attack.setting);
      }
      const most = (of: (one: Played) => number) => String(Math.max(...played.map(of)));
      return [
        attack.code,
        calm ? "limit_exceeded" : "protocol_error",
        most(({ rounds }) => rounds),
        most(({ passed }) => passed),
      ];
    }));
}

Deno.test("a client that opens 1,000 streams, gives no window and pings on is ended by timeouts.exchange_idle", () =>
  measured("zero-window stall, 1,000 streams, pinging on (client)", async () => {
    let pings = 0;
    let passed = 0;
    await withPeers({ client: { settings: [[4, 0]] } }, async (client, server, { port }) => {
      for (let index = 0; index < 1000; index++) client.send(request(2 * index + 1));
      await server.until(() => server.highestStream === 1999);
      for (let index = 0; index < 1000; index++) server.send(response(2 * index + 1, 200, false));
      while (!client.closed && client.goaway === null) {
        client.send(frame(T.PING, 0, 0, new Array(8).fill(1)), encodeWindowUpdate(1, 1));
        pings++;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      const { reason_code, reason_detail } = (await closedFlow(port)).attributes;
      assertEquals(reason_code, "idle_timeout");
      assertStringIncludes(String(reason_detail), "timeouts.exchange_idle");
      passed = server.counts["HEADERS"] ?? 0;
    });
    return ["NO_ERROR", "idle_timeout", String(pings), String(passed)];
  }));

Deno.test("1,000 uploads that stop short of their end are ended by timeouts.exchange_idle, and let go of", () =>
  measured("1,000 uploads stalled after 16,000 bytes each (client)", async () => {
    const passed = await stallUploads();
    return ["NO_ERROR", "idle_timeout", "1000", String(passed)];
  }));

Deno.test("a field block that drips in ends by timeouts.head", () =>
  measured("CONTINUATION that drips (client)", async () => {
    let drips = 0;
    await withPeers({}, async (client, server, { port }) => {
      // No acknowledgement may stand in the block.
      await client.hears("SETTINGS ack");
      await server.hears("SETTINGS ack");
      client.send(frame(T.HEADERS, 1, 1, block({ ":method": "GET" })));
      while (!client.closed && client.goaway === null) {
        if (drips < 30) client.send(frame(T.CONTINUATION, 0, 1, [0x82]));
        drips++;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      assertEquals((await closedFlow(port)).attributes.reason_code, "stage_timeout");
    });
    return ["NO_ERROR", "stage_timeout", String(drips), "0"];
  }));
