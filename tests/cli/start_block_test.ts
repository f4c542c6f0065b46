import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { proxyUrl, startBlock } from "../../src/cli/start_block.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";

function block(values: Readonly<Record<string, unknown>>, listen: readonly string[], colour = false) {
  const { settings } = settingsFromValues({ values, cwd: "/", checkGrants: false, env: { HOME: "/h" } });
  return startBlock({
    version: "1.2.3",
    listen,
    caCertPath: "/data dir/ca.pem",
    settings,
    colour,
    platform: "linux",
  });
}

Deno.test("startBlock tells address, CA, a curl line to paste, events and how to stop", () => {
  assertEquals(
    block({ state_dir: "/s" }, ["127.0.0.1:8080"]),
    [
      "soth-mitm 1.2.3",
      "  proxy   127.0.0.1:8080",
      "  CA      /data dir/ca.pem",
      "  try     curl --proxy http://127.0.0.1:8080 --cacert '/data dir/ca.pem' https://example.com/",
      "  events  not kept; --events FILE keeps them",
      "  stop    Ctrl-C",
      "",
      "",
    ].join("\n"),
  );
});

Deno.test("startBlock's curl line trusts the CA only where hosts are intercepted", () => {
  const text = block({ state_dir: "/s", policy: { default: "tunnel" }, events: { sinks: ["-"] } }, [
    "127.0.0.1:1",
  ]);
  assertStringIncludes(text, "  try     curl --proxy http://127.0.0.1:1 https://example.com/\n");
  assertStringIncludes(text, "  events  -\n");
});

Deno.test("startBlock of a reverse listener tells the origin, and asks for it by its own name", () => {
  const reverse = (origin: string) =>
    block({ state_dir: "/s", route: { mode: "reverse", reverse_origin: origin } }, ["0.0.0.0:8443"]);
  const text = reverse("https://a.example");
  assertStringIncludes(text, "  reverse 0.0.0.0:8443\n  origin  https://a.example:443\n");
  assertStringIncludes(
    text,
    "  try     curl --connect-to ::127.0.0.1:8443 --cacert '/data dir/ca.pem' https://a.example:443/\n",
  );
  assertStringIncludes(
    reverse("http://a.example"),
    "  try     curl --connect-to ::127.0.0.1:8443 http://a.example:80/\n",
  );
});

Deno.test("startBlock has no curl line for a Unix socket alone, and colour only where it is wanted", () => {
  assert(!block({ state_dir: "/s" }, ["unix:/run/x.sock"]).includes("curl"));
  assert(!block({ state_dir: "/s" }, ["127.0.0.1:1"]).includes("\x1b"));
});

Deno.test("proxyUrl is where a program of this machine reaches the proxy", () => {
  assertEquals(proxyUrl(["127.0.0.1:8080"]), "http://127.0.0.1:8080");
  assertEquals(proxyUrl(["unix:/x", "[::1]:2"]), "http://[::1]:2");
  assertEquals(proxyUrl(["0.0.0.0:3"]), "http://127.0.0.1:3");
  assertEquals(proxyUrl(["[::]:4"]), "http://[::1]:4");
  assertEquals(proxyUrl(["unix:/x"]), null);
});
