/**
 * MsgPack of another maker (vmihailenco's, for Go) through the proxy in both directions: the log says what was
 * packed, to the last digit, and what cannot be read is named, with its octets kept.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
// For the types of JSON.parse with sources, which TypeScript's library does not know yet.
import "../../src/core/exact_json.ts";
import { curlThrough } from "../support/curl.ts";
import { certificateArgs, endLane, makeServerFolder, trustConfig } from "../support/lane.ts";
import { type LogEvent, ProxyProcess } from "../support/proxy_process.ts";
import { type ServerProcess, startPeer } from "../support/server_process.ts";
import { run, tool } from "../support/tools.ts";

const PAYLOAD_BYTES = 512 * 1024;

let folder: string;
let peer: ServerProcess;
let proxy: ProxyProcess;

Deno.test.beforeAll(async () => {
  folder = await makeServerFolder();
  peer = await startPeer(tool("payloadPeer"), certificateArgs(folder));
  proxy = await ProxyProcess.start("msgpack", {
    config: `
      ${trustConfig(folder)}
      [capture]
      body_bytes = ${PAYLOAD_BYTES}
      payload_bytes = ${PAYLOAD_BYTES}
    `,
  });
});

Deno.test.afterAll(() => endLane(folder, [proxy], [peer]));

interface Sample {
  readonly name: string;
  readonly octets: Uint8Array;
  readonly value: unknown;
}

/** JSON with its numbers as they are written: a double would lose what this lane is about. */
function exactly(text: string): unknown {
  return JSON.parse(
    text,
    (_key, value, { source }) => typeof value === "number" ? `number ${written(source!)}` : value,
  );
}

/** Encoders of JSON write doubles of the same value in more than one way; integers they do not. */
const written = (source: string) => /^-?\d+$/.test(source) ? source : String(Number(source));

async function samples(): Promise<readonly Sample[]> {
  const { stdout } = await run(tool("payloadPeer"), ["samples"]);
  return (exactly(stdout) as { name: string; octets: string; value: unknown }[]).map(
    ({ octets, ...rest }) => ({ ...rest, octets: Uint8Array.fromBase64(octets) }),
  );
}

/** Posts octets, and gives what the log has of the exchange, numbers as they are written there. */
async function post(
  path: string,
  octets: Uint8Array,
  { type = "application/msgpack", version = "--http1.1" }: { type?: string | null; version?: string } = {},
) {
  const before = (await proxy.events()).length;
  const { code, stdout, stdoutBytes, stderr } = await curlThrough(proxy, [
    ...[version, "--data-binary", "@-", "-H", `Content-Type:${type === null ? "" : ` ${type}`}`],
    `https://localhost:${peer.ports[0]}${path}`,
  ], { stdin: octets });
  assertEquals(code, 0, stderr);
  const flow = await proxy.eventsAfter(before);
  const log = (await Deno.readTextFile(proxy.folder.log)).trimEnd().split("\n").slice(-flow.length);
  const events = log.map((line) => exactly(line) as LogEvent);
  const of = (kind: string, direction: string) =>
    events.filter((event) => event.kind === kind && event.attributes.direction === direction)
      .map(({ attributes }) => attributes);
  const captured = events.filter(({ kind }) => kind === "request_body_chunk").map(({ attributes }) =>
    typeof attributes.data_base64 === "string"
      ? Uint8Array.fromBase64(attributes.data_base64)
      : new TextEncoder().encode(String(attributes.data ?? ""))
  );
  return { stdout, stdoutBytes, of, captured: Uint8Array.from(captured.flatMap((part) => [...part])) };
}

for (const version of ["--http1.1", "--http2"]) {
  Deno.test(`what is packed is what the log says, posted and answered, with ${version}`, async (t) => {
    for (const { name, octets, value } of await samples()) {
      if (name === "too_deep") continue;
      await t.step(name, async () => {
        const { stdoutBytes, of } = await post(`/msgpack/${name}`, octets, { version });
        assertEquals(Uint8Array.from(stdoutBytes), octets);
        for (const direction of ["request", "response"]) {
          const [payload, ...more] = of("payload_decoded", direction);
          assertEquals(more, []);
          assertEquals(payload?.value, value, `${name}, ${direction}`);
          assertEquals([payload?.format, payload?.bytes], ["msgpack", `number ${octets.length}`]);
          assertEquals(of("decoder_failed", direction), []);
        }
      });
    }
  });
}

Deno.test("a map with names is known without a content type, an array is not guessed at", async () => {
  for (const { name, octets, value } of await samples()) {
    if (name !== "nested" && name !== "integers") continue;
    const { of } = await post(`/msgpack/${name}`, octets, { type: null });
    const [payload] = of("payload_decoded", "request");
    if (name === "nested") assertEquals([payload?.guessed, payload?.value], [true, value]);
    else assertEquals([payload?.format, payload?.value], ["binary", undefined]);
  }
});

/** A message in which a length says what is not there, or more than is read. */
function claim(...parts: readonly (number | readonly number[])[]): Uint8Array {
  return Uint8Array.from(parts.flat());
}

const filled = (length: number) => Array<number>(length).fill(0xc0);

Deno.test("what is cut, spoiled or too large is named with its stage, and its octets are kept", async (t) => {
  const all = new Map((await samples()).map(({ name, octets }) => [name, octets]));
  const nested = all.get("nested")!;
  const spoiled = Uint8Array.from(nested);
  spoiled[0] = 0xc1;
  const cases: readonly (readonly [name: string, octets: Uint8Array, reason: string])[] = [
    ["cut", nested.subarray(0, nested.length - 1), "are not the whole message"],
    ["one octet", claim(0x82), "are not the whole message"],
    ["more behind it", claim([...nested], 0xc0), "1 octets after the message"],
    ["the format that is none", spoiled, "0xc1"],
    ["too deep", all.get("too_deep")!, "nested deeper than 64"],
    ["a map of 4,294,967,295", claim(0xdf, [0xff, 0xff, 0xff, 0xff], filled(100)), "a map of 4294967295"],
    ["an array of 65,537", claim(0xdd, [0, 1, 0, 1], filled(65_537)), "an array of 65537"],
    ["a string of 4 GiB", claim(0xdb, [0xff, 0xff, 0xff, 0xff], 0x61), "a string of 4294967295 octets"],
    ["a binary of 2 GiB", claim(0xc6, [0x80, 0, 0, 0], 1), "a binary of 2147483648 octets"],
    ["an extension of 1 GiB", claim(0xc9, [0x40, 0, 0, 0], 5), "an extension of 1073741824 octets"],
    ["a string that is no UTF-8", claim(0xa2, 0xff, 0xfe), "is not UTF-8"],
    ["a key twice", claim(0x82, [0xa1, 0x61, 1], [0xa1, 0x61, 2]), "a key twice"],
    ["longer than is read", claim(0xc6, [0, 9, 0, 0], filled(9 * 65_536)), "capture.payload_bytes"],
  ];
  for (const [name, octets, reason] of cases) {
    await t.step(name, async () => {
      const { stdout, of, captured } = await post("/msgpack/nested", octets);
      // The peer, too, sees that these are not the octets of its sample: they came as they were sent.
      assertStringIncludes(stdout, "other octets");
      const [failure, ...more] = of("decoder_failed", "request");
      assertEquals([failure?.stage, more], ["payload", []]);
      assertStringIncludes(String(failure?.reason), reason);
      assertEquals(of("payload_decoded", "request"), []);
      assertEquals(captured, octets.subarray(0, PAYLOAD_BYTES));
    });
  }
});
