/**
 * The real proxy with 256 file descriptors and more clients than that: accepting pauses and recovers, it neither
 * spins nor dies, and who was let in is served.
 */
import { assert, assertEquals } from "@std/assert";
import { curlThrough } from "../support/curl.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { ProxyProcess } from "../support/proxy_process.ts";

const DESCRIPTORS = 256;

/** Processor time the process has used, in seconds; null where the platform does not tell. */
async function processorSeconds(pid: number): Promise<number | null> {
  const { success, stdout } = await new Deno.Command("ps", { args: ["-o", "time=", "-p", String(pid)] })
    .output();
  const parts = new TextDecoder().decode(stdout).trim().split(/[:-]/).map(Number);
  return success ? parts.reduce((sum, part) => sum * 60 + part, 0) : null;
}

Deno.test({
  name:
    "a proxy that runs out of descriptors pauses, serves who is in, and takes new clients when some have left",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const origin = await startHttpOrigin();
    await using proxy = await ProxyProcess.start("descriptors", { descriptors: DESCRIPTORS });
    const url = `http://localhost:${origin.port}/bytes/5`;
    const idle: Deno.Conn[] = [];
    try {
      assertEquals((await curlThrough(proxy, [url])).code, 0);
      const clients = Array.from(
        { length: 2 * DESCRIPTORS },
        () => Deno.connect({ hostname: proxy.host, port: proxy.port }),
      );
      for (const client of await Promise.allSettled(clients)) {
        if (client.status === "fulfilled") idle.push(client.value);
      }
      const before = await processorSeconds(proxy.pid);
      const waiting = await curlThrough(proxy, ["--max-time", "2", url]);
      const after = await processorSeconds(proxy.pid);
      if (before !== null && after !== null) assert(after - before <= 1, "it does not spin while it waits");
      assert([0, 7, 28].includes(waiting.code), `exit ${waiting.code}: served, refused or left waiting`);
      for (const client of idle.splice(0)) client.close();
      const { code, stdoutBytes } = await curlThrough(proxy, ["--retry", "5", "--retry-all-errors", url]);
      assertEquals([code, stdoutBytes.length], [0, 5]);
      await proxy.stop();
    } finally {
      for (const client of idle) client.close();
      await origin.close();
    }
  },
});
