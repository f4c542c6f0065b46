/** A command's world without a process: what it says is kept, and it gives up no permission of the tests. */
import type { World } from "../../src/cli/world.ts";
import type { KeptPermissions } from "../../src/runtime/permissions.ts";

export interface TestWorld extends World {
  /** All that was written so far. */
  readonly said: { stdout: string; stderr: string };
  /** What each call would have kept, in order. */
  readonly dropped: KeptPermissions[];
}

export interface TestWorldOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly terminal?: boolean;
  readonly noColour?: boolean;
}

export function testWorld(options: TestWorldOptions = {}): TestWorld {
  const said = { stdout: "", stderr: "" };
  const dropped: KeptPermissions[] = [];
  const terminal = options.terminal ?? false;
  return {
    said,
    dropped,
    env: { HOME: "/home/user", LOCALAPPDATA: "C:\\Users\\user", ...options.env },
    cwd: options.cwd ?? Deno.cwd(),
    platform: Deno.build.os,
    console: {
      stdout: (text) => void (said.stdout += text),
      stderr: (text) => void (said.stderr += text),
      stdinIsTerminal: terminal,
      stdoutIsTerminal: terminal,
      stderrIsTerminal: terminal,
      noColour: options.noColour ?? false,
    },
    dropPermissions: (keep) => {
      dropped.push(keep);
      return { revoked: [], kept: [] };
    },
  };
}
