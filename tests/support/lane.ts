/** What lanes with a TLS server for `localhost` begin and end with. */
import { makeAuthority, type TestAuthority } from "./certificates.ts";
import type { ProxyProcess } from "./proxy_process.ts";

/** A folder with a certificate (`server.pem`, `server.key`) and the root that it comes from (`root.pem`). */
export async function makeServerFolder(authority: TestAuthority = makeAuthority()): Promise<string> {
  const folder = await Deno.makeTempDir();
  const { certPem, keyPem } = authority.issue({ names: ["localhost"] });
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  await Deno.writeTextFile(`${folder}/server.pem`, certPem);
  await Deno.writeTextFile(`${folder}/server.key`, keyPem);
  return folder;
}

/** How the peers of `tests/peers` are told of that certificate. */
export function certificateArgs(folder: string): string[] {
  return ["-cert", `${folder}/server.pem`, "-key", `${folder}/server.key`];
}

/** How the proxy is told of that root: the beginning of its `[tls]`. */
export function trustConfig(folder: string): string {
  return `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n`;
}

/** Ends what a lane has started. A proxy that does not end in order, or whose log does not verify, fails it. */
export async function endLane(
  folder: string,
  proxies: readonly ProxyProcess[],
  servers: readonly AsyncDisposable[],
): Promise<void> {
  try {
    for (const proxy of proxies) await proxy.stop();
  } finally {
    for (const one of [...proxies, ...servers]) await one[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
}
