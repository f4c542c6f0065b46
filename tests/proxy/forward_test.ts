import { assertEquals } from "@std/assert";
import type { FlowContext } from "../../src/core/event.ts";
import type { Decision, Effects } from "../../src/core/session.ts";
import type { RequestHead } from "../../src/http1/head.ts";
import { parseRequestHead } from "../../src/http1/head.ts";
import type { Http1Relay } from "../../src/http1/relay.ts";
import { ForwardRouter } from "../../src/proxy/forward.ts";
import { latin1 } from "../support/golden.ts";

const INTERCEPT: Decision = { action: "intercept", reason: "default", ruleId: null };

function router() {
  const calls: string[] = [];
  const effects = new Proxy({}, {
    get: (_target, name) => (...args: unknown[]) => {
      if (name === "decide") {
        calls.push(`decide ${args[0]}`);
        return null;
      }
      if (name === "open") calls.push(`open ${(args[0] as { port: number }).port}`);
      if (name === "closeServer") calls.push("closeServer");
      return undefined;
    },
  }) as Effects;
  const context: FlowContext = {
    flowId: "1-1",
    clientAddr: "",
    serverHost: null,
    serverPort: 0,
    sequence: 0,
  };
  const router = new ForwardRouter({
    context,
    effects,
    connectMs: 1,
    onConnect: () => calls.push("connect"),
    onConnectUdp: () => calls.push("connect-udp"),
    limits: { maxHeaderFields: 9 },
  });
  router.relay = {
    routed: (bytes: Uint8Array, { freshServer }: { freshServer: boolean }) =>
      calls.push(
        `routed ${freshServer ? "fresh" : "kept"} ${new TextDecoder().decode(bytes).split("\r\n")[0]}`,
      ),
    refused: ({ status, code }: { status: number; code: string }) => calls.push(`refused ${status} ${code}`),
  } as unknown as Http1Relay;
  return { router, calls, context };
}

function head(target: string, host: string): RequestHead {
  const parsed = parseRequestHead(latin1(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`), {
    maxHeaderFields: 9,
  });
  if (parsed.type === "error") throw new Error(parsed.detail);
  return parsed;
}

Deno.test("ForwardRouter keeps a server for the same authority and replaces it for another", () => {
  const { router: forward, calls, context } = router();
  forward.route(head("http://a.test/x", "a.test"));
  forward.decided(1, INTERCEPT);
  forward.opened();
  forward.route(head("http://a.test/y", "a.test"));
  forward.decided(2, INTERCEPT);
  forward.route(head("http://a.test:81/z", "a.test:81"));
  forward.decided(3, INTERCEPT);
  forward.opened();
  assertEquals(calls, [
    "decide 1",
    "open 80",
    "routed fresh GET /x HTTP/1.1",
    "decide 2",
    "routed kept GET /y HTTP/1.1",
    "decide 3",
    "closeServer",
    "open 81",
    "routed fresh GET /z HTTP/1.1",
  ]);
  assertEquals([context.serverHost, context.serverPort], ["a.test", 81]);
});

Deno.test("ForwardRouter dials anew after its server went, and takes no decision twice", () => {
  const { router: forward, calls } = router();
  forward.route(head("http://a.test/", "a.test"));
  forward.decided(1, INTERCEPT);
  forward.decided(1, INTERCEPT);
  forward.opened();
  forward.serverGone();
  forward.route(head("http://a.test/", "a.test"));
  forward.decided(2, INTERCEPT);
  assertEquals(calls.filter((call) => call.startsWith("open")), ["open 80", "open 80"]);
});

Deno.test("ForwardRouter refuses what is not plain http in absolute-form", () => {
  const { router: forward, calls } = router();
  forward.route(head("/", "a.test"));
  forward.route(head("https://a.test/", "a.test"));
  assertEquals(calls, ["refused 400 not_absolute_form", "refused 400 unsupported_scheme"]);
});
