/** Headless Chromium through a proxy, with a home of its own in which the proxy's CA is trusted. */
import { assertEquals } from "@std/assert";
import type { ProxyProcess } from "./proxy_process.ts";
import { plainEnvironment, run, tool } from "./tools.ts";

/** Makes a browser that has `folder` for its home trust the certificate in `caPath`. */
export async function trustInChromium(folder: string, caPath: string): Promise<void> {
  const database = `sql:${folder}/.pki/nssdb`;
  await Deno.mkdir(`${folder}/.pki/nssdb`, { recursive: true });
  for (
    const args of [
      ["-N", "-d", database, "--empty-password"],
      ["-A", "-d", database, "-t", "C,,", "-n", "soth-mitm", "-i", caPath],
    ]
  ) {
    const { code, stderr } = await run(tool("certutil"), args);
    assertEquals(code, 0, stderr);
  }
}

/** What every run needs; each has a profile of its own. */
export async function chromiumArguments(folder: string, proxy: ProxyProcess): Promise<string[]> {
  const profile = await Deno.makeTempDir({ dir: folder });
  return [
    ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
    ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
    ...["--disable-dev-shm-usage", `--user-data-dir=${profile}`],
    // Without this list a browser goes to loopback addresses by itself.
    ...[`--proxy-server=${proxy.url}`, "--proxy-bypass-list=<-loopback>"],
  ];
}

/** Keeps a page open, in real time, until `over`; a page that never comes to it is the lane's time limit. */
export async function whileChromiumShows<T>(
  { folder, proxy, args = [], url }: {
    readonly folder: string;
    readonly proxy: ProxyProcess;
    readonly args?: readonly string[];
    readonly url: string;
  },
  over: Promise<T>,
): Promise<T> {
  const all = [...await chromiumArguments(folder, proxy), ...args, "--remote-debugging-port=0", url];
  const child = new Deno.Command(tool("chromium"), {
    args: all,
    env: plainEnvironment({ HOME: folder }),
    clearEnv: true,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  try {
    const ended = child.status.then(({ code }) => {
      throw new Error(`Chromium ended with ${code} before ${url} had come to its end`);
    });
    return await Promise.race([over, ended]);
  } finally {
    child.kill("SIGTERM");
    await child.status;
  }
}
