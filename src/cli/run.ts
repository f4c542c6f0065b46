/** `soth-mitm run`: the proxy, until a signal or a failure ends it. */
import { VERSION } from "../runtime/version.ts";
import { watchForBugs } from "./bugs.ts";
import { RUN_HELP } from "./help.ts";
import { launch } from "./launch.ts";
import { has, parseArguments } from "./options.ts";
import { Reporter } from "./reporter.ts";
import { logLevelOf, refusePositionals, RUN_OPTIONS } from "./run_options.ts";
import { onSignals, StopRequests, stopSignals } from "./signals.ts";
import { startBlock } from "./start_block.ts";
import type { World } from "./world.ts";

export async function runCommand(args: readonly string[], world: World): Promise<number> {
  const parsed = parseArguments(args, RUN_OPTIONS);
  if (has(parsed, "help")) {
    world.console.stdout(RUN_HELP);
    return 0;
  }
  refusePositionals(parsed, "run");
  const reporter = new Reporter(world.console, {
    statusLines: has(parsed, "status-lines"),
    quiet: has(parsed, "quiet"),
    logLevel: logLevelOf(parsed),
  });

  // A signal during the start is kept until there is something to stop.
  let finish = () => {};
  let endNow = () => {};
  let requested = 0;
  const requests = new StopRequests({
    finish: () => {
      requested = 1;
      finish();
    },
    endNow: () => {
      requested = 2;
      endNow();
    },
  }, world.console.stdinIsTerminal);
  const forget = onSignals(stopSignals(world.platform), (signal) => requests.receive(signal));
  const bugs = watchForBugs(reporter.notice);
  try {
    const { proxy, settings, linesShown } = await bugs.during(launch({ parsed, reporter, world }));
    finish = () => {
      if (reporter.talkative) reporter.say("\nfinishing what is under way; Ctrl-C again ends it at once\n");
      void proxy.stop();
    };
    endNow = () => proxy.abort();
    if (requested > 0) finish();
    if (requested > 1) endNow();
    if (reporter.talkative) {
      const { listen, caCertPath } = proxy;
      const { colour } = reporter;
      const { platform } = world;
      reporter.say(startBlock({ version: VERSION, listen, caCertPath, settings, colour, platform }));
    } else if (!has(parsed, "quiet")) {
      reporter.notice({ level: "info", message: `listening on ${proxy.listen.join(", ")}` });
    }
    const end = await proxy.ended;
    await linesShown();
    bugs.end();
    if (end.reason === "failed") return reporter.end("runtime_failed", { message: end.detail });
    return reporter.end("ok");
  } catch (error) {
    bugs.end();
    return reporter.fail(error);
  } finally {
    forget();
  }
}
