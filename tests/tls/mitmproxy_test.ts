import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { TLS_FAILURE_REASONS, type TlsFailureReason } from "../../src/tls/failure.ts";
import { normalizeMitmproxyError, readTlsCallback, TLS_CALLBACKS } from "../../src/tls/mitmproxy.ts";

/** As mitmproxy 11 with OpenSSL 3 and 1.1 was seen to put it, or has it in its source. */
const CLIENT: readonly (readonly [string, TlsFailureReason])[] = [
  ["The client does not trust the proxy's certificate for a.test (tlsv1 alert unknown ca)", "unknown_ca"],
  ["tlsv1 alert unknown ca", "unknown_ca"],
  [
    "The client does not trust the proxy's certificate for [::1]:443 (sslv3 alert bad certificate)",
    "cert_validation",
  ],
  [
    "The client does not trust the proxy's certificate for a.test (ssl/tls alert bad certificate)",
    "cert_validation",
  ],
  [
    "The client does not trust the proxy's certificate for a.test " +
    "(OpenSSL Error([('SSL routines', '', 'ssl/tls alert certificate unknown')]))",
    "cert_validation",
  ],
  [
    "The client may not trust the proxy's certificate for a.test " +
    "(OpenSSL Error([('SSL routines', 'ssl3_read_bytes', 'sslv3 alert certificate expired')]))",
    "cert_validation",
  ],
  [
    "The client may not trust the proxy's certificate for a.test (OpenSSL Error([('SSL routines', '', 'no shared cipher')]))",
    "handshake",
  ],
  [
    "The client disconnected during the handshake. If this happens consistently for a.test, this may …",
    "eof_or_reset",
  ],
  ["connection closed early", "eof_or_reset"],
  ["Cannot parse ClientHello: 1603", "handshake"],
  ["Client and mitmproxy cannot agree on a TLS version to use. You may need to …", "handshake"],
  ["The client may not trust the proxy's certificate for a.test (something new)", "other"],
];
const SERVER: readonly (readonly [string, TlsFailureReason])[] = [
  ["Certificate verify failed: self-signed certificate", "unknown_ca"],
  ["Certificate verify failed: self signed certificate in certificate chain", "unknown_ca"],
  ["Certificate verify failed: unable to get local issuer certificate", "unknown_ca"],
  ["Certificate verify failed: certificate has expired", "cert_validation"],
  ["Certificate verify failed: certificate is not yet valid", "cert_validation"],
  ["Certificate verify failed: hostname mismatch", "cert_validation"],
  ["Certificate verify failed: IP address mismatch", "cert_validation"],
  ["Certificate verify failed: CA signature digest algorithm too weak", "cert_validation"],
  ["The remote server does not speak TLS.", "handshake"],
  ["The remote server and mitmproxy cannot agree on a TLS version to use. You may need to …", "handshake"],
  ["OpenSSL Error([('SSL routines', '', 'ssl/tls alert handshake failure')])", "handshake"],
  ["OpenSSL Error([('SSL routines', '', 'tlsv13 alert certificate required')])", "handshake"],
  ["OpenSSL Error([('SSL routines', '', 'tlsv1 unrecognized name')])", "handshake"],
  // An alert about a certificate would be about one of ours, and there is none.
  ["tlsv1 alert unknown ca", "handshake"],
  [
    "OpenSSL Error([('SSL routines', '', 'packet length too long'), ('SSL routines', '', 'record layer failure')])",
    "handshake",
  ],
  ["OpenSSL Error([('SSL routines', '', 'unexpected eof while reading')])", "eof_or_reset"],
  ["OpenSSL Error([('SSL routines', '', 'certificate verify failed')])", "cert_validation"],
  ["OpenSSL Error([])", "handshake"],
  ["OpenSSL SysCallError(-1, 'Unexpected EOF')", "eof_or_reset"],
  ["OpenSSL ZeroReturnError()", "eof_or_reset"],
  ["connection closed", "eof_or_reset"],
  ["", "other"],
  // What merely holds the words of a failure says nothing.
  ["unknown ca concert.example timeout reset eof", "other"],
];

Deno.test("normalizeMitmproxyError knows what mitmproxy says of each side, and takes it for authoritative", () => {
  for (const [side, cases] of [["client", CLIENT], ["server", SERVER]] as const) {
    for (const [error, normalizedReason] of cases) {
      assertEquals(
        normalizeMitmproxyError(error, side),
        { normalizedReason, sourceConfidence: "authoritative" },
        `${side}: ${error}`,
      );
    }
  }
});

Deno.test("normalizeMitmproxyError never throws, whatever the text", () => {
  const pieces = [...CLIENT, ...SERVER].flatMap(([text]) => text.split(" "));
  const text = fc.oneof(
    fc.string(),
    fc.array(fc.constantFrom(...pieces), { maxLength: 30 }).map((p) => p.join(" ")),
  );
  fc.assert(fc.property(text, fc.constantFrom("client" as const, "server" as const), (error, side) => {
    assertEquals(TLS_FAILURE_REASONS.includes(normalizeMitmproxyError(error, side).normalizedReason), true);
  }));
});

const CONN = {
  id: "c1",
  peername: ["127.0.0.1", 5000],
  sni: "A.test",
  alpn: "h2",
  alpn_offers: ["h2", "http/1.1", 7],
  cipher: "TLS_AES_256_GCM_SHA384",
  tls_version: "TLSv1.3",
  error: null,
};
const LINE = {
  event: "tls_established_client",
  time: 1700000000.5,
  conn: CONN,
  context: { client: CONN, server: { address: ["Origin.test", 443] } },
};

Deno.test("readTlsCallback takes the fields of TlsData", () => {
  assertEquals(readTlsCallback(JSON.stringify(LINE)), {
    type: "callback",
    callback: {
      name: "tls_established_client",
      stage: "established",
      side: "client",
      time: 1700000000.5,
      flow: "c1",
      clientAddr: "127.0.0.1:5000",
      server: { host: "origin.test", port: 443 },
      sni: "A.test",
      alpn: "h2",
      alpnOffers: ["h2", "http/1.1"],
      cipher: "TLS_AES_256_GCM_SHA384",
      version: "TLSv1.3",
      error: null,
    },
  });
  const server = { ...LINE, event: "tls_start_server", conn: { address: ["::1", 8443], alpn: "" } };
  const read = readTlsCallback(JSON.stringify(server));
  assertEquals(read.type === "callback" && [read.callback.side, read.callback.stage, read.callback.server], [
    "server",
    "start",
    { host: "::1", port: 8443 },
  ]);
  assertEquals(read.type === "callback" && [read.callback.alpn, read.callback.flow], [null, "c1"]);
});

Deno.test("readTlsCallback does with the connection alone, which tells its client by its address", () => {
  const line = {
    event: "tls_failed_client",
    conn: { peername: ["::1", 9, 0, 0], error: "connection closed" },
  };
  const read = readTlsCallback(JSON.stringify(line));
  assertEquals(
    read.type === "callback" && [read.callback.flow, read.callback.clientAddr, read.callback.server],
    [
      "[::1]:9",
      "[::1]:9",
      null,
    ],
  );
});

Deno.test("readTlsCallback says of a bad line why it is none", () => {
  const cases: readonly (readonly [unknown, string])[] = [
    [1, "it is no object"],
    [null, "it is no object"],
    [[], "it is no object"],
    [{ ...LINE, event: "tls_clienthello" }, `event is none of ${TLS_CALLBACKS.join(", ")}`],
    [{ ...LINE, event: ["tls_start_client"] }, `event is none of ${TLS_CALLBACKS.join(", ")}`],
    [{ ...LINE, conn: "x" }, "conn is no object"],
    [{ ...LINE, event: "tls_failed_client" }, "conn.error is no text, though it failed"],
    [{ event: "tls_start_client", conn: {} }, "it has neither the id nor the peername of its client"],
  ];
  for (const [line, detail] of cases) {
    assertEquals(readTlsCallback(JSON.stringify(line)), { type: "error", detail }, JSON.stringify(line));
  }
  assertEquals(readTlsCallback("{"), { type: "error", detail: "it is no JSON" });
});

Deno.test("readTlsCallback never throws, whatever stands in whichever field, and keeps no text whole that has no end", () => {
  const value = fc.jsonValue();
  const conn = fc.record(
    Object.fromEntries(Object.keys(CONN).map((key) => [key, value])) as Record<
      keyof typeof CONN,
      typeof value
    >,
    { requiredKeys: [] },
  );
  const line = fc.record({
    event: fc.constantFrom<string>(...TLS_CALLBACKS, "x"),
    time: value,
    conn: fc.oneof(conn, value),
    context: fc.oneof(fc.record({ client: fc.oneof(conn, value), server: fc.oneof(conn, value) }), value),
  });
  fc.assert(fc.property(fc.oneof(line, value), (any) => {
    readTlsCallback(JSON.stringify(any));
  }));
  const long = readTlsCallback(JSON.stringify({ ...LINE, conn: { ...CONN, sni: "x".repeat(10_000) } }));
  assertEquals(long.type === "callback" && long.callback.sni?.length, 2_000);
});
