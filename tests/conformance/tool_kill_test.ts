/**
 * The proxy is stopped, and killed, in the middle of a download: what the log then holds is whole, and a proxy
 * that goes on with the same log continues its count.
 */
import { assert, assertEquals } from "@std/assert";
import { makeAuthority } from "../support/certificates.ts";
import { curlThrough } from "../support/curl.ts";
import { type HttpOrigin, startHttpOrigin } from "../support/origin.ts";
import { ProxyProcess } from "../support/proxy_process.ts";
import type { Outcome } from "../support/tools.ts";

let folder: string;
let origin: HttpOrigin;
let config: string;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  const authority = makeAuthority();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  origin = await startHttpOrigin({ certificate: authority.issue({ names: ["localhost"] }) });
  config = `
    [tls]
    upstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}
    [timeouts]
    drain = "300ms"
  `;
});

Deno.test.afterAll(async () => {
  await origin.close();
  await Deno.remove(folder, { recursive: true });
});

/** What curl will say in the end; an object, so that awaiting its beginning does not await its end. */
interface Download {
  readonly ended: Promise<Outcome>;
}

/** A download that waits in its middle, seen by the log to have begun. */
async function beginDownload(proxy: ProxyProcess, gate = "never"): Promise<Download> {
  const ended = curlThrough(proxy, [`https://localhost:${origin.port}/gate/${gate}`]);
  await proxy.eventually(
    "the response of the download",
    ({ kind, attributes }) => kind === "response_headers" && attributes.status === 200,
  );
  return { ended };
}

/** A download that keeps bytes and body events flowing while the proxy goes. */
async function beginBusyDownload(proxy: ProxyProcess): Promise<Download> {
  const ended = curlThrough(proxy, [
    "-o",
    "-",
    "--limit-rate",
    "8M",
    `https://localhost:${origin.port}/endless`,
  ]);
  await proxy.eventually(
    "body events",
    ({ kind, attributes }) => kind === "response_body_chunk" && Number(attributes.offset) > 1_000_000,
  );
  return { ended };
}

for (const [what, begin] of [["waiting", beginDownload], ["busy", beginBusyDownload]] as const) {
  Deno.test(`SIGTERM during a ${what} download ends its flow as shutdown`, async () => {
    await using proxy = await ProxyProcess.start("kill-term", { config });
    const download = await begin(proxy);
    await proxy.stop();
    assert((await download.ended).code !== 0);
    const closed = (await proxy.events()).filter(({ kind }) => kind === "stream_closed");
    assertEquals(closed.map(({ attributes }) => attributes.reason_code), ["shutdown"]);
  });
}

Deno.test("SIGTERM lets a download that ends within timeouts.drain end well", async () => {
  await using proxy = await ProxyProcess.start("kill-drain", { config: config.replace("300ms", "10s") });
  const download = await beginDownload(proxy, "drain");
  const stopped = proxy.stop();
  origin.release("drain");
  const { code, stdout } = await download.ended;
  assertEquals([code, stdout], [0, "firstfinal"]);
  await stopped;
  const completed = (await proxy.events()).filter(({ kind }) => kind === "exchange_completed");
  assertEquals(completed.map(({ attributes }) => attributes.outcome), ["complete"]);
});

Deno.test("a second SIGTERM ends at once what the first waits for", async () => {
  await using proxy = await ProxyProcess.start("kill-twice", { config: config.replace("300ms", "60s") });
  const download = await beginDownload(proxy, "twice");
  proxy.signal("SIGTERM");
  await proxy.refusesConnections();
  await proxy.stop();
  assert((await download.ended).code !== 0);
});

Deno.test("SIGKILL during a busy download leaves whole lines, and the next proxy continues the log", async () => {
  const first = await ProxyProcess.start("kill-9", { config });
  const download = await beginBusyDownload(first);
  await first.kill("SIGKILL");
  assert((await download.ended).code !== 0);
  await first.verifyLog();
  const before = await first.events();

  await using second = await ProxyProcess.start("kill-9", { config, folder: first.folder });
  const { code, stdout } = await curlThrough(second, [`https://localhost:${origin.port}/echo?after`]);
  assertEquals([code, stdout], [0, ""]);
  await second.stop();
  const after = await second.events();
  assert(after.length > before.length);
  assertEquals(after.slice(0, before.length), before);
});

Deno.test("SIGKILL leaves a torn last line, if any, to the next proxy, which sets it aside", async () => {
  const first = await ProxyProcess.start("kill-torn", { config });
  await curlThrough(first, [`https://localhost:${origin.port}/echo`]);
  await first.kill("SIGKILL");
  const whole = await Deno.readTextFile(first.folder.log);
  await Deno.writeTextFile(first.folder.log, whole + '{"schema":"soth-mitm-event-log-v2","sequence_id":9');
  await first.verifyLog();
  await using second = await ProxyProcess.start("kill-torn", { config, folder: first.folder });
  await curlThrough(second, [`https://localhost:${origin.port}/echo`]);
  await second.stop();
  const text = await Deno.readTextFile(first.folder.log);
  assertEquals(text.slice(0, whole.length), whole);
});
