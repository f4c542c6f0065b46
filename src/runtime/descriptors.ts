/**
 * How many descriptors the process may have. Only Linux tells without a subprocess; elsewhere the
 * runtime raises the limit at start far beyond what `limits.max_flows` needs.
 */
export const LIMITS_FILE = "/proc/self/limits";

/** Null where the platform does not say. */
export function descriptorLimit(): number | null {
  if (Deno.build.os !== "linux") return null;
  try {
    const match = /^Max open files\s+(\d+)/m.exec(Deno.readTextFileSync(LIMITS_FILE));
    return match === null ? null : Number(match[1]);
  } catch {
    return null;
  }
}
