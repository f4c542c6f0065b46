import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { main } from "../../src/cli/main.ts";
import { tlsReplayCommand } from "../../src/cli/tls_replay.ts";
import { UsageError } from "../../src/cli/usage_error.ts";
import { verifyLog } from "../support/proxy.ts";
import { testWorld } from "../support/test_world.ts";

const client = { id: "c1", peername: ["127.0.0.1", 5_000], sni: "a.test" };
const server = { id: "s1", address: ["a.test", 443] };
const line = (event: string, conn: Readonly<Record<string, unknown>>) =>
  JSON.stringify({ event, time: 1, conn, context: { client, server } }) + "\n";
const GOOD = line("tls_established_server", { ...server, cipher: "TLS_X", tls_version: "TLSv1.3" }) +
  line("tls_failed_client", { ...client, error: "tlsv1 alert\x1b unknown ca" }) +
  line("tls_failed_client", { ...client, error: "tlsv1 alert unknown ca" });

async function withFile(text: string, work: (path: string) => Promise<void>): Promise<void> {
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, text);
    await work(path);
  } finally {
    await Deno.remove(path);
  }
}

async function replay(...args: string[]) {
  const world = testWorld();
  return { code: await tlsReplayCommand(args, world), ...world.said };
}

Deno.test("tls-replay prints a row for each handshake that ended", () =>
  withFile(GOOD, async (path) => {
    assertEquals(await replay(path), {
      code: 0,
      stdout: "    1  server  established      a.test                    TLSv1.3 TLS_X\n" +
        "    2  client  other            a.test                    tlsv1 alert\\x1b unknown ca\n" +
        "    3  client  unknown_ca       a.test                    tlsv1 alert unknown ca\n",
      stderr: "",
    });
  }));

Deno.test("tls-replay writes a valid log beside the table, and goes on behind lines that are no callbacks", () =>
  withFile(`nothing\n\n${"x".repeat(1024 * 1024 + 1)}\n${GOOD}{"event":`, async (path) => {
    const log = `${path}.log`;
    const { code, stdout, stderr } = await replay("--events", log, path);
    assertEquals(code, 1);
    assertEquals(stdout.split("\n").length, 4);
    assertEquals(
      stderr,
      [
        `${path}:1: it is no JSON`,
        `${path}:3: it is longer than 1048576 bytes`,
        `${path}:7: it is no JSON`,
      ].map((text) => `soth-mitm: ${text}\n`).join(""),
    );
    await verifyLog(log);
    assertStringIncludes(await Deno.readTextFile(log), '"kind":"stream_closed"');
    await Deno.remove(log);
  }));

Deno.test("tls-replay says what it lacks", async () => {
  await assertRejects(() => replay(), UsageError, "the FILE to read is missing");
  await assertRejects(() => replay("a", "b"), UsageError, "found b too");
  const missing = await replay("/nowhere/tls.jsonl");
  assertEquals([missing.code, missing.stderr], [
    2,
    "soth-mitm: cannot read /nowhere/tls.jsonl: there is no such file\n",
  ]);
  const world = testWorld();
  assertEquals(await main(["tls-replay", "--help"], world), 0);
  assertStringIncludes(world.said.stdout, "Usage: soth-mitm tls-replay");
});
