/**
 * Headless Chromium through the proxy: a browser's own ClientHello, parallel connections, compressed and posted
 * bodies, and a CA it trusts only because its certificate database was told to.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { makeAuthority, makeSelfSigned } from "../support/certificates.ts";
import { chromiumArguments, trustInChromium } from "../support/chromium.ts";
import { type HttpOrigin, startHttpOrigin } from "../support/origin.ts";
import { ProxyProcess } from "../support/proxy_process.ts";
import { type ServerProcess, startPeer } from "../support/server_process.ts";
import { run, tool } from "../support/tools.ts";

const PAGES: { readonly [path: string]: { type: string; body: string } } = {
  "/page": {
    type: "text/html; charset=utf-8",
    body: `<!doctype html><title>page</title><link rel=stylesheet href=/style.css>
      <p id=script>-<p id=posted>-<p id=compressed>-<p id=many>-<script src=/app.js></script>`,
  },
  "/style.css": { type: "text/css", body: "p { color: green }" },
  "/app.js": {
    type: "text/javascript",
    body: `
      const say = (id, text) => document.getElementById(id).textContent = text;
      say("script", "ran");
      fetch("/echo", { method: "POST", body: "x".repeat(100000) })
        .then((response) => response.text()).then((text) => say("posted", "echoed " + text.length));
      fetch("/gzip/50000").then((response) => response.arrayBuffer())
        .then((buffer) => say("compressed", "inflated " + buffer.byteLength));
      Promise.all(Array.from({ length: 12 }, (_, index) => fetch("/bytes/" + (index + 1) * 1000)
        .then((response) => response.arrayBuffer()).then((buffer) => buffer.byteLength)))
        .then((sizes) => say("many", "sum " + sizes.reduce((sum, size) => sum + size, 0)));
    `,
  },
};

let folder: string;
let origin: HttpOrigin;
let plain: HttpOrigin;
let wrong: HttpOrigin;
let http2: ServerProcess;
let proxy: ProxyProcess;

Deno.test.beforeAll(async () => {
  folder = await Deno.makeTempDir();
  const authority = makeAuthority();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  const names = ["localhost"];
  const pages = (path: string) => PAGES[path] ?? null;
  origin = await startHttpOrigin({ certificate: authority.issue({ names }), pages });
  const { certPem, keyPem } = authority.issue({ names });
  await Deno.writeTextFile(`${folder}/server.pem`, certPem);
  await Deno.writeTextFile(`${folder}/server.key`, keyPem);
  http2 = await startPeer(tool("http2Peer"), [
    ...["-cert", `${folder}/server.pem`, "-key", `${folder}/server.key`],
  ]);
  plain = await startHttpOrigin({ pages });
  wrong = await startHttpOrigin({ certificate: makeSelfSigned({ names }), pages });
  proxy = await ProxyProcess.start("chromium", {
    config: `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n`,
  });
  await trustInChromium(folder, proxy.caPath);
});

Deno.test.afterAll(async () => {
  try {
    await proxy.stop();
  } finally {
    await proxy[Symbol.asyncDispose]();
    for (const one of [origin, plain, wrong]) await one.close();
    await http2[Symbol.asyncDispose]();
    await Deno.remove(folder, { recursive: true });
  }
});

/** The page's DOM after its scripts have come to rest. */
async function domOf(url: string): Promise<string> {
  const { code, stdout, stderr } = await run(tool("chromium"), [
    ...await chromiumArguments(folder, proxy),
    ...["--virtual-time-budget=20000", "--dump-dom", url],
  ], { env: { HOME: folder }, timeoutMs: 60_000 });
  assertEquals(code, 0, stderr);
  return stdout;
}

function assertWholePage(dom: string): void {
  assertStringIncludes(dom, '<p id="script">ran');
  assertStringIncludes(dom, '<p id="posted">echoed 100000');
  assertStringIncludes(dom, '<p id="compressed">inflated 50000');
  assertStringIncludes(dom, '<p id="many">sum 78000');
}

Deno.test("Chromium loads an https page with its scripts, styles and fetches through the proxy", async () => {
  assertWholePage(await domOf(`https://localhost:${origin.port}/page`));
  const events = (await proxy.events()).filter(({ server_port }) => server_port === origin.port);
  const targets = events.filter(({ kind }) => kind === "request_headers").map(({ attributes }) =>
    attributes.target
  );
  for (const target of ["/page", "/style.css", "/app.js", "/echo", "/gzip/50000", "/bytes/12000"]) {
    assert(targets.includes(target), `no request for ${target} in the log`);
  }
  const hello = events.find(({ kind }) => kind === "tls_client_hello");
  assertEquals(hello?.attributes.sni, "localhost");
  assertEquals(hello?.attributes.alpn, ["h2", "http/1.1"]);
  const handshake = events.find(({ kind, attributes }) =>
    kind === "tls_handshake_succeeded" && attributes.side === "client"
  );
  assertEquals(handshake?.attributes.version, "TLSv1.3");
});

Deno.test("Chromium loads an http page through the proxy", async () => {
  assertWholePage(await domOf(`http://localhost:${plain.port}/page`));
});

Deno.test("Chromium loads a page of two hundred parts over HTTP/2, all of them over few connections", async () => {
  const [port] = http2.ports;
  const dom = await domOf(`https://localhost:${port}/page?n=200`);
  // Part N has 100 + 97 N bytes.
  const bytes = 200 * 100 + 97 * 199 * 200 / 2;
  assertStringIncludes(dom, `<p id="result">reported {"count":200,"bytes":${bytes}}`);
  const ofPage = async () => (await proxy.events()).filter(({ server_port }) => server_port === port);
  const parts = Array.from({ length: 200 }, (_, index) => `/part/${index}`);
  // The browser is gone, so its connections end, and with them what it may have left open.
  const flowIds = new Set((await ofPage()).map(({ flow_id }) => flow_id));
  for (const id of flowIds) {
    await proxy.eventually(
      `the end of flow ${id}`,
      ({ kind, flow_id }) => kind === "stream_closed" && flow_id === id,
    );
  }
  const events = await ofPage();
  const asked = events.filter(({ kind }) => kind === "request_headers").map(({ attributes }) => attributes);
  assertEquals(new Set(asked.map(({ version }) => version)), new Set(["HTTP/2"]));
  const targets = asked.map(({ target }) => String(target)).sort();
  assertEquals(targets, [...parts, "/page?n=200", "/report"].sort());
  const completed = events.filter(({ kind }) => kind === "exchange_completed");
  assertEquals(completed.map(({ attributes }) => attributes.outcome), Array(202).fill("complete"));
  const carrying = new Set(completed.map(({ flow_id }) => flow_id));
  assert(carrying.size <= 2, `${carrying.size} connections`);
});

Deno.test("Chromium is told why when the origin's certificate does not verify, and gets no page", async () => {
  const dom = await domOf(`https://localhost:${wrong.port}/page`);
  assert(!dom.includes("id=script") && !dom.includes('id="script"'), dom);
  assertStringIncludes(dom, "error");
  assertEquals(wrong.requests, []);
});
