/** Reads the variables that configure the proxy, and no others, so that the grant can name them. */
import { DIRECTORY_VARIABLES, type Environment } from "./directories.ts";
import { environmentName, SETTING_KEYS } from "./schema.ts";

export function readEnvironment(others: readonly string[] = []): Environment {
  // With the whole environment granted, misspelt names can be seen too.
  if (Deno.permissions.querySync({ name: "env" }).state === "granted") return Deno.env.toObject();
  const environment: Record<string, string> = {};
  for (const name of [...SETTING_KEYS.map(environmentName), ...DIRECTORY_VARIABLES, ...others]) {
    if (Deno.permissions.querySync({ name: "env", variable: name }).state !== "granted") continue;
    const value = Deno.env.get(name);
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
