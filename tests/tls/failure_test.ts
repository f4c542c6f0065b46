import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import net from "node:net";
import tls from "node:tls";
import type { Side } from "../../src/core/side.ts";
import { normalizeTlsFailure, TLS_FAILURE_REASONS, type TlsFailureReason } from "../../src/tls/failure.ts";
import { type Certificate, makeAuthority, makeSelfSigned } from "../support/certificates.ts";

type Confidence = "authoritative" | "inferred";
type Row = readonly [
  side: Side,
  code: string,
  detail: string,
  reason: TlsFailureReason,
  confidence: Confidence,
];

/** What Deno 2.9.6 was seen to say, each with the peer that made it say so. */
const SEEN: readonly Row[] = [
  // We are the server; the client is openssl, curl, Python, Deno or bytes by hand.
  [
    "client",
    "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
    "received fatal alert: UnknownCA",
    "unknown_ca",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "received fatal alert: CertificateExpired",
    "cert_validation",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE",
    "received fatal alert: BadCertificate",
    "cert_validation",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "received fatal alert: CertificateUnknown",
    "cert_validation",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED",
    "received fatal alert: CertificateRevoked",
    "cert_validation",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "received fatal alert: UnsupportedCertificate",
    "cert_validation",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
    "received fatal alert: BadCertificateStatusResponse",
    "cert_validation",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
    "received fatal alert: CloseNotify",
    "eof_or_reset",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
    "received fatal alert: HandshakeFailure",
    "handshake",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_DECRYPT_ERROR",
    "received fatal alert: DecryptError",
    "handshake",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    "received fatal alert: ProtocolVersion",
    "handshake",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
    "peer is incompatible: NoKxGroupsInCommon",
    "handshake",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE",
    "peer misbehaved: ServerNameMustContainOneHostName",
    "handshake",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_NO_APPLICATION_PROTOCOL",
    "peer doesn't support any known protocol",
    "handshake",
    "authoritative",
  ],
  [
    "client",
    "ERR_SSL_WRONG_VERSION_NUMBER",
    "received corrupt message of type InvalidContentType (SSL routines:ssl3_get_record:wrong version number)",
    "handshake",
    "authoritative",
  ],
  // We are the client.
  [
    "server",
    "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
    "unable to verify the first certificate",
    "unknown_ca",
    "inferred",
  ],
  [
    "server",
    "SELF_SIGNED_CERT_IN_CHAIN",
    "self-signed certificate in certificate chain",
    "unknown_ca",
    "authoritative",
  ],
  [
    "server",
    "ERR_TLS_CERT_ALTNAME_INVALID",
    "Hostname/IP does not match certificate's altnames: Host: localhost. is not in the cert's altnames: DNS:concert.example",
    "cert_validation",
    "authoritative",
  ],
  [
    "server",
    "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION",
    "received fatal alert: ProtocolVersion",
    "handshake",
    "authoritative",
  ],
  [
    "server",
    "ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL",
    "received fatal alert: NoApplicationProtocol",
    "handshake",
    "authoritative",
  ],
  [
    "server",
    "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "received fatal alert: CertificateRequired",
    "handshake",
    "authoritative",
  ],
  // The server finds fault with a client certificate that we do not have: nothing is wrong with its own.
  [
    "server",
    "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE",
    "received fatal alert: BadCertificate",
    "handshake",
    "authoritative",
  ],
  [
    "server",
    "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
    "received fatal alert: UnknownCA",
    "handshake",
    "authoritative",
  ],
  ["server", "ECONNRESET", "connect ECONNRESET 127.0.0.1:33437", "eof_or_reset", "authoritative"],
];

/** Other platforms, and the names of OpenSSL. */
const KNOWN: readonly Row[] = [
  ["server", "CERT_HAS_EXPIRED", "certificate has expired", "cert_validation", "authoritative"],
  ["server", "CERT_NOT_YET_VALID", "certificate is not yet valid", "cert_validation", "authoritative"],
  ["server", "DEPTH_ZERO_SELF_SIGNED_CERT", "self-signed certificate", "unknown_ca", "authoritative"],
  [
    "server",
    "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    "unable to get local issuer certificate",
    "unknown_ca",
    "authoritative",
  ],
  ["server", "ETIMEDOUT", "connect ETIMEDOUT 192.0.2.1:443", "timeout", "authoritative"],
  ["client", "ERR_TLS_HANDSHAKE_TIMEOUT", "TLS handshake timeout", "timeout", "authoritative"],
  ["client", "EPIPE", "write EPIPE", "eof_or_reset", "authoritative"],
  [
    "client",
    "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA",
    "80AB:error:0A000418:SSL routines::tlsv1 alert unknown ca",
    "unknown_ca",
    "authoritative",
  ],
  ["client", "ERR_SSL_SOMETHING_NEW", "", "handshake", "authoritative"],
  ["server", "InvalidData", "invalid peer certificate: UnknownIssuer", "unknown_ca", "inferred"],
  [
    "server",
    "InvalidData",
    "invalid peer certificate: certificate expired: verification time 1795207679",
    "cert_validation",
    "inferred",
  ],
  ["server", "", "unable to get local issuer certificate", "unknown_ca", "inferred"],
  ["server", "", "self signed certificate in certificate chain", "unknown_ca", "inferred"],
  ["server", "", "certificate has expired", "cert_validation", "inferred"],
  ["server", "UnexpectedEof", "tls handshake eof", "eof_or_reset", "inferred"],
  ["server", "", "read: connection reset by peer", "eof_or_reset", "inferred"],
  [
    "client",
    "",
    "Client network socket disconnected before secure TLS connection was established",
    "eof_or_reset",
    "inferred",
  ],
  ["client", "", "the handshake timed out", "timeout", "inferred"],
  ["client", "", "peer is incompatible: NoCipherSuitesInCommon", "handshake", "inferred"],
  ["client", "", "", "other", "inferred"],
  ["server", "ENOENT", "no such file", "other", "inferred"],
];

Deno.test("normalizeTlsFailure names what Deno and OpenSSL report", () => {
  for (const [side, code, detail, normalizedReason, sourceConfidence] of [...SEEN, ...KNOWN]) {
    assertEquals(
      normalizeTlsFailure({ code, detail }, side),
      { normalizedReason, sourceConfidence },
      `${code}: ${detail}`,
    );
  }
});

Deno.test("normalizeTlsFailure is not misled by the names of hosts", () => {
  const hosts = [
    "geoffrey.example",
    "concert.example",
    "timeout.example",
    "eof",
    "handshake",
    "unknown-ca.example",
  ];
  const more = [
    "certificate",
    "reset.example",
    "expired.badssl.example",
    "self-signed.example",
    "UnknownIssuer",
  ];
  for (const host of [...hosts, ...more]) {
    for (
      const text of [
        `cannot talk to ${host}`,
        `${host}: it went wrong`,
        `"${host}:443" said no`,
        `${host} ${host}`,
      ]
    ) {
      assertEquals(normalizeTlsFailure({ code: "E_NEW", detail: text }, "server"), {
        normalizedReason: "other",
        sourceConfidence: "inferred",
      }, text);
    }
    const altname =
      `Hostname/IP does not match certificate's altnames: Host: ${host}. is not in the cert's altnames: DNS:a`;
    assertEquals(
      normalizeTlsFailure({ code: "ERR_TLS_CERT_ALTNAME_INVALID", detail: altname }, "server")
        .normalizedReason,
      "cert_validation",
    );
  }
});

Deno.test("normalizeTlsFailure is total", () => {
  const code = fc.oneof(fc.string(), fc.constantFrom(...SEEN.map(([, code]) => code)));
  const detail = fc.oneof(fc.string(), fc.constantFrom(...SEEN.map(([, , detail]) => detail)));
  fc.assert(fc.property(code, detail, fc.constantFrom<Side>("client", "server"), (code, detail, side) => {
    assert(TLS_FAILURE_REASONS.includes(normalizeTlsFailure({ code, detail }, side).normalizedReason));
  }));
  const longMs = performance.now();
  normalizeTlsFailure({ code: "A".repeat(1_000_000), detail: "certificate ".repeat(100_000) }, "client");
  assert(performance.now() - longMs < 1_000);
});

Deno.test("normalizeTlsFailure names the failures of real servers", async () => {
  const known = makeAuthority("known root");
  const options = { ca: known.certPem };
  const names = ["localhost"];
  const unknown = makeAuthority("unknown root");
  const leaf = unknown.issue({ names });
  const rows: readonly (readonly [Certificate, tls.TlsOptions, tls.ConnectionOptions, TlsFailureReason])[] = [
    [leaf, {}, {}, "unknown_ca"],
    [{ ...leaf, certPem: `${leaf.certPem}\n${unknown.certPem}` }, {}, {}, "unknown_ca"],
    [makeSelfSigned({ names }), {}, {}, "unknown_ca"],
    [known.issue({ names: ["concert.example"] }), {}, {}, "cert_validation"],
    [known.issue({ names }), { maxVersion: "TLSv1.2" }, { minVersion: "TLSv1.3" }, "handshake"],
    [known.issue({ names }), { ALPNProtocols: ["h2"] }, { ALPNProtocols: ["http/1.1"] }, "handshake"],
    [known.issue({ names }), { requestCert: true, ca: known.certPem }, {}, "handshake"],
  ];
  for (const [certificate, serverOptions, clientOptions, reason] of rows) {
    const server = tls.createServer({ cert: certificate.certPem, key: certificate.keyPem, ...serverOptions });
    server.on("tlsClientError", () => {});
    const failure = await failureWith(
      server,
      (port) =>
        tls.connect({ host: "127.0.0.1", port, servername: "localhost", ...options, ...clientOptions }),
    );
    assertEquals(normalizeTlsFailure(failure, "server").normalizedReason, reason, JSON.stringify(failure));
  }
});

Deno.test("normalizeTlsFailure names what servers do that do not speak TLS", async () => {
  const rows: readonly (readonly [(socket: net.Socket) => void, TlsFailureReason])[] = [
    [(socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"), "handshake"],
    [(socket) => socket.end(Uint8Array.of(0x15, 3, 3, 0, 2, 2, 40)), "handshake"],
    [(socket) => socket.resetAndDestroy(), "eof_or_reset"],
    [(socket) => socket.end(), "eof_or_reset"],
  ];
  for (const [answer, reason] of rows) {
    const server = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.once("data", () => answer(socket));
    });
    const failure = await failureWith(
      server,
      (port) => tls.connect({ host: "127.0.0.1", port, servername: "localhost" }),
    );
    assertEquals(normalizeTlsFailure(failure, "server").normalizedReason, reason, JSON.stringify(failure));
  }
});

Deno.test("normalizeTlsFailure names how real clients refuse our certificate", async () => {
  const authority = makeAuthority("root of the proxy");
  const DAY_MS = 86_400_000;
  const past = { notBefore: new Date(Date.now() - 2 * DAY_MS), notAfter: new Date(Date.now() - DAY_MS) };
  const good = authority.issue({ names: ["localhost"] });
  const rows: readonly (readonly [Certificate, tls.ConnectionOptions, TlsFailureReason])[] = [
    [good, { ca: makeAuthority("another root").certPem }, "unknown_ca"],
    [authority.issue({ names: ["localhost"], ...past }), { ca: authority.certPem }, "cert_validation"],
    [good, { ca: authority.certPem, ALPNProtocols: ["h2"] }, "handshake"],
  ];
  for (const [certificate, options, reason] of rows) {
    const failure = await clientFailure(certificate, (port) => {
      const client = tls.connect({ host: "127.0.0.1", port, servername: "localhost", ...options });
      client.on("error", () => {});
    });
    assertEquals(normalizeTlsFailure(failure, "client").normalizedReason, reason, JSON.stringify(failure));
  }
});

Deno.test("normalizeTlsFailure names how openssl refuses our certificate", async () => {
  const authority = makeAuthority("root of the proxy");
  const certificate = authority.issue({ names: ["localhost"] });
  const directory = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${directory}/known.pem`, authority.certPem);
    await Deno.writeTextFile(`${directory}/other.pem`, makeAuthority("another root").certPem);
    const rows: readonly (readonly [string[], TlsFailureReason])[] = [
      [["-CAfile", `${directory}/other.pem`], "unknown_ca"],
      [["-CAfile", `${directory}/other.pem`, "-tls1_2"], "unknown_ca"],
      [["-CAfile", `${directory}/known.pem`, "-verify_hostname", "concert.example"], "cert_validation"],
      [["-alpn", "h2"], "handshake"],
    ];
    for (const [args, reason] of rows) {
      let missing = false;
      const failure = await clientFailure(certificate, (port, giveUp) => {
        const command = new Deno.Command("openssl", {
          args: [
            "s_client",
            "-connect",
            `127.0.0.1:${port}`,
            "-servername",
            "localhost",
            "-verify_return_error",
            ...args,
          ],
          stdin: "null",
          stdout: "null",
          stderr: "null",
        });
        try {
          command.spawn().unref();
        } catch (error) {
          if (!(error instanceof Deno.errors.NotFound)) throw error;
          missing = true;
          giveUp();
        }
      });
      if (missing) {
        console.log("Skipped: openssl is not on this machine; install it with the system's package manager");
        return;
      }
      assertEquals(normalizeTlsFailure(failure, "client").normalizedReason, reason, JSON.stringify(failure));
    }
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

interface Failure {
  code: string;
  detail: string;
}

/** The end without an error is what the driver calls a reset. */
const CLOSED: Failure = { code: "ECONNRESET", detail: "closed during the handshake" };

async function failureWith(server: net.Server, connect: (port: number) => tls.TLSSocket): Promise<Failure> {
  const port = await listen(server);
  try {
    return await new Promise<Failure>((resolve, reject) => {
      const socket = connect(port);
      // A TLS 1.3 server judges after the client is done, so `secureConnect` alone says nothing.
      socket.once("error", (error) => resolve(failureOf(error)));
      socket.once("close", () => resolve(CLOSED));
      socket.once("data", () => reject(new Error("the handshake succeeded")));
    });
  } finally {
    server.close();
  }
}

/** How the handshake fails on our side, with `certificate` and `http/1.1`, when a client connects. */
async function clientFailure(
  certificate: Certificate,
  connect: (port: number, giveUp: () => void) => void,
): Promise<Failure> {
  const { promise, resolve } = Promise.withResolvers<Failure>();
  const server = net.createServer((raw) => {
    raw.on("error", () => {});
    const socket = new tls.TLSSocket(raw, {
      isServer: true,
      secureContext: tls.createSecureContext({ cert: certificate.certPem, key: certificate.keyPem }),
      ALPNProtocols: ["http/1.1"],
    });
    socket.on("error", (error) => resolve(failureOf(error)));
    socket.on("close", () => resolve(CLOSED));
  });
  const port = await listen(server);
  try {
    connect(port, () => resolve(CLOSED));
    return await promise;
  } finally {
    server.close();
  }
}

function failureOf(error: Error): Failure {
  return {
    code: "code" in error && typeof error.code === "string" ? error.code : error.name,
    detail: error.message,
  };
}

async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening");
  return address.port;
}
