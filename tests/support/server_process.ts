/** Servers of other people as child processes: started on a port that is known, killed at the end. */
import { freePort } from "./free_port.ts";
import { plainEnvironment } from "./tools.ts";

export interface ServerProcess extends AsyncDisposable {
  /** In the order in which they were said or asked for. */
  readonly ports: readonly number[];
}

/** A program that says `listening PORT…` on standard output once it listens, as those of `tests/peers` do. */
export async function startPeer(program: string, args: readonly string[]): Promise<ServerProcess> {
  const child = new Deno.Command(program, {
    args: [...args],
    env: plainEnvironment(),
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  let said = "";
  while (!said.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`${program} ended before it listened: ${said}`);
    said += value;
  }
  const [word, ...ports] = said.trim().split(" ");
  if (word !== "listening") throw new Error(`${program} said ${said}`);
  return {
    ports: ports.map(Number),
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await reader.cancel();
      await child.status;
    },
  };
}

/**
 * A program that has to be told its ports: `command` gives its arguments for them. Another program may win a
 * port between the choice and the use; then it tries others. What it says is shown when it does not start.
 */
export async function startOnFreePorts(
  program: string,
  count: number,
  command: (ports: readonly number[]) => readonly string[] | Promise<readonly string[]>,
): Promise<ServerProcess> {
  let said = "";
  for (let attempt = 0; attempt < 5; attempt++) {
    const ports = Array.from({ length: count }, freePort);
    const output = await Deno.makeTempFile();
    const args = await command(ports);
    const child = new Deno.Command("sh", {
      args: ["-c", 'output=$1; shift; exec "$@" >"$output" 2>&1', "sh", output, program, ...args],
      env: plainEnvironment(),
      clearEnv: true,
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
    const dispose = async () => {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended by itself.
      }
      await child.status;
      await Deno.remove(output);
    };
    let ended = false;
    child.status.then(() => ended = true);
    while (!ended) {
      if (await areOpen(ports)) return { ports, [Symbol.asyncDispose]: dispose };
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    said = await Deno.readTextFile(output);
    await dispose();
  }
  throw new Error(`${program} did not start: ${said}`);
}

async function areOpen(ports: readonly number[]): Promise<boolean> {
  try {
    for (const port of ports) (await Deno.connect({ hostname: "127.0.0.1", port })).close();
    return true;
  } catch {
    return false;
  }
}
