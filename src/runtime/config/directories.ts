/** The platform's data directory, where the CA and learned state live unless `state_dir` says otherwise. */
import { isAbsolute, join } from "node:path";

/** The variables that are asked for; nothing else of the environment is. */
export const DIRECTORY_VARIABLES = ["XDG_DATA_HOME", "HOME", "LOCALAPPDATA", "USERPROFILE"] as const;

export type Environment = Readonly<Record<string, string | undefined>>;

export interface MissingDirectory {
  readonly type: "error";
  readonly detail: string;
}

export function defaultStateDirectory(
  environment: Environment,
  platform: typeof Deno.build.os,
): string | MissingDirectory {
  if (platform === "windows") {
    const local = absolute(environment["LOCALAPPDATA"]);
    if (local !== null) return join(local, NAME);
    const profile = absolute(environment["USERPROFILE"]);
    return profile !== null ? join(profile, "AppData", "Local", NAME) : missing("LOCALAPPDATA");
  }
  const home = absolute(environment["HOME"]);
  if (platform === "darwin") {
    return home !== null ? join(home, "Library", "Application Support", NAME) : missing("HOME");
  }
  // The XDG base directory specification: a relative path there is to be ignored.
  const data = absolute(environment["XDG_DATA_HOME"]);
  if (data !== null) return join(data, NAME);
  return home !== null ? join(home, ".local", "share", NAME) : missing("HOME");
}

const NAME = "soth-mitm";

function absolute(path: string | undefined): string | null {
  return path !== undefined && (isAbsolute(path) || /^[A-Za-z]:[\\/]/.test(path)) ? path : null;
}

function missing(variable: string): MissingDirectory {
  return {
    type: "error",
    detail: `${variable} is not set, so there is no default; allowed: the path of a directory`,
  };
}
