/** A client that trusts the server's own CA alone, as pinned clients do, against a real proxy. */
import { assert, assertEquals } from "@std/assert";
import * as tls from "node:tls";
import type { LoggedEvent, Notice } from "../../mod.ts";
import { makeAuthority } from "../support/certificates.ts";
import { type HttpOrigin, startHttpOrigin } from "../support/origin.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";

const authority = makeAuthority();
const GET = "GET /bytes/1 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

interface Run {
  readonly proxy: TestProxy;
  readonly origin: HttpOrigin;
  readonly target: string;
  readonly notices: readonly Notice[];
  /** A pinned client asks for a page: its status, or null where it refused the certificate. */
  pinned(options?: tls.ConnectionOptions): Promise<string | null>;
  /** The audit lines of a flow, each as `outcome: reason`. */
  audits(flow: number): string[];
}

async function withPinned(
  settings: { readonly tls?: Readonly<Record<string, unknown>>; readonly state_dir?: string },
  work: (run: Run) => Promise<void>,
  name = "localhost",
): Promise<void> {
  const bundle = await Deno.makeTempFile({ suffix: ".crt" });
  await Deno.writeTextFile(bundle, authority.certPem);
  const origin = await startHttpOrigin({
    certificate: authority.issue({ names: ["localhost", "127.0.0.1"] }),
  });
  const notices: Notice[] = [];
  const target = `${name}:${origin.port}`;
  try {
    await withProxy({
      settings: { ...settings, tls: { upstream_ca_bundle: bundle, ...settings.tls } },
      onNotice: (notice) => void notices.push(notice),
    }, (proxy) =>
      work({
        proxy,
        origin,
        target,
        notices,
        pinned: async (options = {}) => {
          const before = proxy.of("stream_closed").length;
          const client = await proxy.tls(target, { ca: authority.certPem, ...options }).catch(() => null);
          if (client !== null) {
            await client.write(GET);
            const status = (await client.readThrough("\r\n\r\n")).slice(9, 12);
            client.socket.destroy();
            return status;
          }
          // What the proxy has learned of it is known once the flow is over.
          await proxy.event(({ kind }) =>
            kind === "stream_closed" && proxy.of("stream_closed").length > before
          );
          return null;
        },
        audits: (flow) => proxy.of("tls_learning_audit", flow).map(said),
      }));
  } finally {
    await origin.close();
    await Deno.remove(bundle);
  }
}

function said({ attributes }: LoggedEvent): string {
  return `${attributes.outcome}: ${attributes.reason}`;
}

Deno.test("suggest tells of a pinned client what lets it through, and lets it fail on", () =>
  withPinned({}, async ({ proxy, pinned, audits, notices }) => {
    assertEquals([await pinned(), await pinned(), await pinned()], [null, null, null]);
    assertEquals([1, 2, 3].map(audits), [
      ["counted: below_threshold"],
      ["suggested: threshold"],
      ["ignored: already_suggested"],
    ]);
    const [failed] = proxy.of("tls_handshake_failed", 1);
    assertEquals([failed?.attributes.normalized_reason, failed?.attributes.source_confidence], [
      "unknown_ca",
      "authoritative",
    ]);
    assert(notices.some(({ message }) => message.includes("--tunnel localhost")), JSON.stringify(notices));
  }));

for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
  Deno.test(`on lets a pinned client through in ${maxVersion}, and no other client and no other name`, () =>
    withPinned(
      { tls: { learned_bypass: "on" } },
      async ({ proxy, pinned, audits, target, origin, notices }) => {
        assertEquals([await pinned({ maxVersion }), await pinned({ maxVersion })], [null, null]);
        assertEquals(await pinned({ maxVersion }), "200");
        assertEquals([1, 2, 3].map(audits), [
          ["counted: below_threshold"],
          ["learned: threshold"],
          ["bypassed: bypass"],
        ]);
        assertEquals(proxy.of("connect_decision", 3).map(({ attributes }) => attributes), [
          { action: "intercept", reason: "default" },
          { action: "tunnel", reason: "learned_bypass" },
        ]);
        assertEquals(proxy.of("tls_handshake_started", 3), [], "nothing was secured");
        assert(
          notices.some(({ level, message }) =>
            level === "warn" && message.startsWith("localhost is tunnelled")
          ),
        );
        // Another fingerprint is another client; it trusts the proxy and is intercepted as ever.
        await (await proxy.tls(target, { ALPNProtocols: ["h2", "http/1.1"], maxVersion })).socket.destroy();
        assertEquals(proxy.of("connect_decision", 4).length, 1);
        // Another name of the same server is another host.
        const elsewhere = `127.0.0.1:${origin.port}`;
        const refused = await proxy.tls(elsewhere, { ca: authority.certPem, maxVersion }).catch(() => null);
        assertEquals(refused, null);
        assertEquals(proxy.of("tls_handshake_started", 5).length, 2);
      },
    ));
}

Deno.test("a client that ends without an alert is no evidence", () =>
  withPinned(
    { tls: { learned_bypass: "on", learned_bypass_failures: 1 } },
    async ({ proxy, target, audits }) => {
      const connection = await proxy.tunnel(target);
      connection.socket.removeAllListeners("data");
      const secure = tls.connect({
        socket: connection.socket,
        ca: authority.certPem,
        servername: "localhost",
      });
      secure.on("error", () => {});
      await proxy.event(({ kind, attributes }) =>
        kind === "tls_handshake_started" && attributes.side === "client"
      );
      connection.socket.destroy();
      await proxy.closed(1);
      for (const audit of audits(1)) assert(audit.startsWith("ignored: "), audit);
    },
  ));

Deno.test("what is learned holds in the next proxy with the same state, and can be cleared under it", async () => {
  const directory = await Deno.makeTempDir();
  try {
    const settings = { state_dir: `${directory}/state`, tls: { learned_bypass: "on" } };
    await withPinned(settings, async ({ pinned }) => {
      assertEquals([await pinned(), await pinned()], [null, null]);
    });
    await withPinned(settings, async ({ pinned }) => {
      assertEquals(await pinned(), "200");
      await Deno.remove(`${directory}/state/learned.json`);
      assertEquals(await pinned(), null);
    });
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
