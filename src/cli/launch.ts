/** Starting a proxy from the command line, as `run` and `exec` do. */
import type { LoggedEvent } from "../core/event.ts";
import type { Settings } from "../core/settings.ts";
import { ReadableLines } from "../log/readable.ts";
import { loadSettings, type SettingFlags } from "../runtime/config/load.ts";
import { type KeptPermissions, neededWhileRunning } from "../runtime/permissions.ts";
import { startProxy } from "../runtime/proxy.ts";
import type { RunningProxy } from "../runtime/running_proxy.ts";
import { VERSION } from "../runtime/version.ts";
import { TerminalLines } from "./console.ts";
import type { ParsedArguments } from "./options.ts";
import type { Reporter } from "./reporter.ts";
import { configPathOf, settingFlags } from "./run_options.ts";
import { ready, STARTING } from "./status_lines.ts";
import type { World } from "./world.ts";

export interface Launched {
  readonly proxy: RunningProxy;
  readonly settings: Settings;
  /** What the proxy still needs; `exec` gives up the rest once its command runs. */
  readonly needed: KeptPermissions;
  /** The last lines are shown before the program ends. */
  linesShown(): Promise<void>;
}

const LAST_LINES_LIMIT_MS = 500;

export interface LaunchOptions {
  readonly parsed: ParsedArguments;
  readonly reporter: Reporter;
  readonly world: World;
  /** What the command line says, before what the command itself wants. */
  readonly adjust?: (flags: SettingFlags) => SettingFlags;
  /** Throws where the command can do nothing with these settings. */
  readonly accept?: (settings: Settings) => void;
  /** What is needed beyond a running proxy's own needs. */
  readonly alsoKeep?: Partial<KeptPermissions>;
}

/** Throws a `StartError`. */
export async function launch(options: LaunchOptions): Promise<Launched> {
  const { parsed, reporter, world, adjust = (flags) => flags } = options;
  reporter.status(STARTING);
  const place = configPathOf(parsed);
  const loaded = await loadSettings({
    ...place,
    flags: adjust(settingFlags(parsed)),
    env: world.env,
    cwd: world.cwd,
    platform: world.platform,
  });
  const { settings } = loaded;
  options.accept?.(settings);
  for (const message of loaded.warnings) reporter.notice({ level: "warn", message });

  const needed = neededWhileRunning(settings, place.configPath ?? null);
  const lines = new TerminalLines(Deno.stderr);
  const proxy = await startProxy({
    settings,
    configDigest: loaded.digest,
    version: VERSION,
    ownsProcess: true,
    onNotice: reporter.notice,
    ...(reporter.talkative ? { onEvent: readableEvents(lines, reporter.colour) } : {}),
    onOpened: () => {
      const { kept } = world.dropPermissions({ ...needed, ...options.alsoKeep });
      const message = `permissions given up, but for ${kept.join(", ")}`;
      reporter.notice({ level: "debug", message });
    },
  });
  reporter.status(ready(proxy.listen, proxy.caCertPath, Deno.pid));
  return { proxy, settings, needed, linesShown: () => lines.flush(LAST_LINES_LIMIT_MS) };
}

function readableEvents(terminal: TerminalLines, colour: boolean): (event: LoggedEvent) => void {
  const readable = new ReadableLines({ colour, clock: timeOfDay });
  return (event) => {
    const line = readable.event(event);
    if (line !== null) terminal.write(line);
  };
}

/** Lines are shown as they happen, so the time is the reader's. */
function timeOfDay(): string {
  const now = new Date();
  return [now.getHours(), now.getMinutes(), now.getSeconds()].map((part) => String(part).padStart(2, "0"))
    .join(":");
}
