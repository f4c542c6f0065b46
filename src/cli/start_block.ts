/** What a person at a terminal reads first: where the proxy is, whom to trust, and one line to try. */
import { bold } from "@std/fmt/colors";
import type { Settings } from "../core/settings.ts";
import { formatListenAddress, parseListenAddress } from "../runtime/config/address.ts";
import { shellLine } from "../runtime/trust_store.ts";

export interface StartBlock {
  readonly version: string;
  readonly listen: readonly string[];
  readonly caCertPath: string;
  readonly settings: Settings;
  readonly colour: boolean;
  readonly platform: string;
}

export function startBlock({ version, listen, caCertPath, settings, colour, platform }: StartBlock): string {
  const url = proxyUrl(listen);
  const sinks = settings.events.sinks;
  const { reverseOrigin } = settings.route;
  const where: [string, string][] = reverseOrigin === null
    ? [["proxy", listen.join(", ")]]
    : [["reverse", listen.join(", ")], ["origin", reverseOrigin]];
  const rows: [string, string][] = [
    ...where,
    ["CA", caCertPath],
    ...(url === null ? [] : [["try", tryLine(url, caCertPath, settings, platform)] as [string, string]]),
    ["events", sinks.length === 0 ? "not kept; --events FILE keeps them" : sinks.join(", ")],
    ["stop", "Ctrl-C"],
  ];
  const paint = colour ? bold as (text: string) => string : (text: string) => text;
  return `${paint(`soth-mitm ${version}`)}\n` +
    rows.map(([label, text]) => `  ${label.padEnd(8)}${text}\n`).join("") + "\n";
}

/** Where a program of this machine finds the proxy; null when it listens on Unix sockets only. */
export function proxyUrl(listen: readonly string[]): string | null {
  for (const text of listen) {
    const address = parseListenAddress(text);
    if (address.type !== "tcp") continue;
    const host = address.host === "0.0.0.0" ? "127.0.0.1" : address.host === "::" ? "::1" : address.host;
    return `http://${formatListenAddress({ ...address, host })}`;
  }
  return null;
}

/** A tunnelled host shows its own certificate, which our CA did not sign. */
function tryLine(url: string, caCertPath: string, { policy, route }: Settings, platform: string): string {
  const trust = policy.default === "intercept" ? ["--cacert", caCertPath] : [];
  const { reverseOrigin: origin } = route;
  if (origin === null) return shellLine(["curl", "--proxy", url, ...trust, "https://example.com/"], platform);
  // The origin's own name is asked for, so that both the certificate and the Host field fit.
  const there = ["--connect-to", `::${url.slice("http://".length)}`];
  const how = origin.startsWith("https:") ? [...there, ...trust] : there;
  return shellLine(["curl", ...how, `${origin}/`], platform);
}
