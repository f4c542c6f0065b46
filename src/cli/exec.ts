/** `soth-mitm exec`: a proxy for the life of one command. */
import { watchForBugs } from "./bugs.ts";
import { EXEC_HELP } from "./help.ts";
import { bundleText, writeExecFile } from "./exec_files.ts";
import { environmentWarnings, execEnvironment } from "./exec_environment.ts";
import { launch } from "./launch.ts";
import { NODE_PRELOAD } from "./node_preload.ts";
import { has, parseArguments, valuesOf } from "./options.ts";
import { Reporter } from "./reporter.ts";
import { logLevelOf, refusePositionals, RUN_OPTIONS } from "./run_options.ts";
import { onSignals } from "./signals.ts";
import { proxyUrl } from "./start_block.ts";
import { UsageError } from "./usage_error.ts";
import type { World } from "./world.ts";

const REVERSE_REFUSED = "exec runs a command through a forward proxy; a reverse listener is none";
const NOT_RUNNABLE = 126;
const NOT_FOUND = 127;

export async function execCommand(args: readonly string[], world: World): Promise<number> {
  const dashes = args.indexOf("--");
  const own = dashes < 0 ? args : args.slice(0, dashes);
  if (own.includes("--help") || own.includes("-h")) {
    world.console.stdout(EXEC_HELP);
    return 0;
  }
  // Looked at first: without the dashes, options of the command would pass for ours.
  if (dashes < 0 || dashes === args.length - 1) {
    throw new UsageError("exec needs a command after --: soth-mitm exec [OPTIONS] -- COMMAND [ARG...]");
  }
  const parsed = parseArguments(args, RUN_OPTIONS);
  const [command = "", ...commandArgs] = parsed.rest ?? [];
  refusePositionals({ ...parsed, rest: null }, "exec before --");
  const listens = valuesOf(parsed, "listen");
  if (listens.length > 0 && proxyUrl(listens) === null && listens.every((text) => text.startsWith("unix:"))) {
    throw new UsageError(
      "exec needs a --listen of the form host:port; tools reach no proxy at a Unix socket",
    );
  }
  if (has(parsed, "reverse")) throw new UsageError(REVERSE_REFUSED);
  const reporter = new Reporter(world.console, {
    statusLines: has(parsed, "status-lines"),
    quiet: has(parsed, "quiet"),
    logLevel: logLevelOf(parsed),
  });
  for (const message of environmentWarnings(world.env)) reporter.notice({ level: "warn", message });
  const bugs = watchForBugs(reporter.notice);
  try {
    return await runThroughProxy(command, commandArgs);
  } catch (error) {
    bugs.end();
    return reporter.fail(error);
  }

  async function runThroughProxy(command: string, args: readonly string[]): Promise<number> {
    const { proxy, settings, needed, linesShown } = await launch({
      parsed,
      reporter,
      world,
      accept: ({ route }) => {
        if (route.mode === "reverse") throw new UsageError(`${REVERSE_REFUSED} (route.mode)`);
      },
      adjust: (flags) => ({ ...flags, listen: flags.listen ?? ["127.0.0.1:0"] }),
      // The bundle is still to be written and the command to be started.
      alsoKeep: { run: true, read: ["/"], write: ["/"], sys: true, env: true },
    });
    const url = proxyUrl(proxy.listen);
    if (url === null) throw new UsageError("exec needs an address of the form host:port");
    const text = await bundleText(settings, world.env, proxy.caCertPem);
    const bundlePath = await writeExecFile(settings.stateDir, "roots", "pem", text);
    const nodePreloadPath = await writeExecFile(settings.stateDir, "node", "cjs", NODE_PRELOAD);
    const { caCertPath } = proxy;
    const env = execEnvironment(world.env, { proxyUrl: url, caCertPath, bundlePath, nodePreloadPath });

    // Before there is a command: a signal that came first would end us alone and leave the command behind.
    const signals = new ForwardedSignals(world);
    const child = spawn(command, args, env, world.cwd);
    if (typeof child === "number") {
      signals.end();
      await proxy.stop();
      const why = child === NOT_FOUND ? "is not found" : "cannot be run";
      const message = `the command ${JSON.stringify(command)} ${why}`;
      world.console.stderr(`soth-mitm: ${message}\n`);
      bugs.end();
      return reporter.end("ok", { message }, child);
    }
    signals.passTo(child);
    world.dropPermissions(needed);
    // A proxy that failed leaves its command without a way out.
    let ended = false;
    void proxy.ended.then(() => {
      if (!ended) sendSignal(child, "SIGTERM");
    });
    const status = await child.status;
    ended = true;
    await proxy.stop();
    const end = await proxy.ended;
    signals.end();
    await linesShown();
    bugs.end();
    if (end.reason === "failed") return reporter.end("runtime_failed", { message: end.detail });
    return reporter.end("ok", {}, status.code);
  }
}

/** The command as a process, or the status a shell gives when there can be none. */
function spawn(
  command: string,
  args: readonly string[],
  env: Record<string, string>,
  cwd: string,
): Deno.ChildProcess | number {
  try {
    return new Deno.Command(command, {
      args: [...args],
      env,
      cwd,
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return NOT_FOUND;
    if (error instanceof Deno.errors.PermissionDenied) return NOT_RUNNABLE;
    throw error;
  }
}

/**
 * Passes signals on to the command and lives on until it ends. What a terminal sends on a keypress has
 * reached the command already, as one of the same process group.
 */
class ForwardedSignals {
  #child: Deno.ChildProcess | null = null;
  readonly #early: Deno.Signal[] = [];
  readonly #forget: () => void;

  constructor(world: World) {
    if (world.platform === "windows") {
      // The console tells every process that is attached to it.
      this.#forget = onSignals(["SIGINT", "SIGBREAK"], () => {});
      return;
    }
    const fromKeys: readonly Deno.Signal[] = world.console.stdinIsTerminal ? ["SIGINT", "SIGQUIT"] : [];
    this.#forget = onSignals(["SIGINT", "SIGQUIT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"], (signal) => {
      if (this.#child === null) this.#early.push(signal);
      else if (!fromKeys.includes(signal)) sendSignal(this.#child, signal);
    });
  }

  passTo(child: Deno.ChildProcess): void {
    this.#child = child;
    for (const signal of this.#early.splice(0)) sendSignal(child, signal);
  }

  end(): void {
    this.#forget();
  }
}

function sendSignal(child: Deno.ChildProcess, signal: Deno.Signal): void {
  try {
    child.kill(signal);
  } catch {
    // It has ended by itself.
  }
}
