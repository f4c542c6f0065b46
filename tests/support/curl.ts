import type { ProxyProcess } from "./proxy_process.ts";
import { type Outcome, run, type RunOptions, tool } from "./tools.ts";

/** curl through `proxy`, trusting its CA (or `trust`), with nothing of the machine's own configuration. */
export function curlThrough(
  proxy: ProxyProcess,
  args: readonly string[],
  options: RunOptions & { readonly trust?: string } = {},
): Promise<Outcome> {
  const { trust = proxy.caPath, ...rest } = options;
  return run(tool("curl"), [
    ...["-q", "-sS", "--max-time", "25", "-x", proxy.url, "--noproxy", "", "--cacert", trust],
    ...args,
  ], rest);
}
