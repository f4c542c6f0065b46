/** h2spec through the proxy: what a server refuses alone is refused through it, by the proxy or by the server. */
import { certificateArgs } from "../support/lane.ts";
import { compareByH2spec } from "../support/h2spec.ts";
import { startOnFreePorts, startPeer } from "../support/server_process.ts";
import { tool } from "../support/tools.ts";

Deno.test("no test of h2spec that nghttpd passes fails through the proxy", () =>
  compareByH2spec("nghttpd", (folder) =>
    startOnFreePorts(tool("nghttpd"), 1, ([port]) => [
      ...["--address", "127.0.0.1", "--htdocs", `${folder}/site`],
      ...[String(port), `${folder}/server.key`, `${folder}/server.pem`],
    ])));

Deno.test("no test of h2spec that Go's server passes fails through the proxy", () =>
  compareByH2spec(
    "go",
    (folder) => startPeer(tool("http2Peer"), certificateArgs(folder)),
  ));
