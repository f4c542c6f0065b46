/** `openssl s_server -www` on a port of its own: a status page for every request. */
import { plainEnvironment, tool } from "./tools.ts";

export interface OpensslServer extends AsyncDisposable {
  readonly port: number;
}

/** `certificate`: the path of a PEM file with chain and key. */
export async function startOpenssl(certificate: string, args: readonly string[]): Promise<OpensslServer> {
  const child = new Deno.Command(tool("openssl"), {
    args: ["s_server", "-accept", "127.0.0.1:0", "-cert", certificate, "-www", ...args],
    env: plainEnvironment(),
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!/ACCEPT .*:\d+\n/.test(said)) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`openssl s_server did not start: ${said}`);
    said += value;
  }
  // What it says later is of no interest, but must not fill the pipe.
  const drained = (async () => {
    while (!(await reader.read()).done);
  })().catch(() => {});
  return {
    port: Number(/ACCEPT .*:(\d+)\n/.exec(said)![1]),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await reader.cancel();
      await drained;
      await child.status;
    },
  };
}
