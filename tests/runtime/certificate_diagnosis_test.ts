import { assertEquals, assertMatch } from "@std/assert";
import net from "node:net";
import tls from "node:tls";
import {
  type CertificateFault,
  diagnoseCertificate,
  type DiagnosisOptions,
  isTrustFailure,
} from "../../src/runtime/certificate_diagnosis.ts";
import { normalizeTlsFailure } from "../../src/tls/failure.ts";
import { X509Certificate } from "node:crypto";
import {
  type Certificate,
  makeAuthority,
  makeSelfSigned,
  withBadSignature,
} from "../support/certificates.ts";

const DAY_MS = 86_400_000;
const names = ["localhost"];
const known = makeAuthority("known root");
const unknown = makeAuthority("unknown root");
const root = new X509Certificate(known.certPem);
const rootsNamed = (subject: string) => subject === root.subject ? [root] : [];
const context = tls.createSecureContext({ ca: known.certPem });

Deno.test("diagnoseCertificate says what the platform's code hides", async () => {
  const now = Date.now();
  const unknownLeaf = unknown.issue({ names });
  const rows: readonly (readonly [Certificate, code: string, detail: RegExp, reason: string])[] = [
    [
      known.issue({ names, notBefore: new Date(now - 2 * DAY_MS), notAfter: new Date(now - DAY_MS) }),
      "CERT_HAS_EXPIRED",
      /^the certificate expired at 20..-..-..T/,
      "cert_validation",
    ],
    [
      known.issue({ names, notBefore: new Date(now + DAY_MS) }),
      "CERT_NOT_YET_VALID",
      /^the certificate is valid only from 20..-..-..T/,
      "cert_validation",
    ],
    [
      makeSelfSigned({ names, commonName: "localhost" }),
      "DEPTH_ZERO_SELF_SIGNED_CERT",
      /self-signed$/,
      "unknown_ca",
    ],
    [
      makeSelfSigned({
        names,
        commonName: "localhost",
        notBefore: new Date(now - 2 * DAY_MS),
        notAfter: new Date(now - DAY_MS),
      }),
      "CERT_HAS_EXPIRED",
      /^the certificate expired/,
      "cert_validation",
    ],
    [
      unknownLeaf,
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      /^the certificate was issued by "unknown root", which is not trusted, and the server sent its own/,
      "unknown_ca",
    ],
    [
      known.issueAuthority("between").issue({ names }),
      "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
      /issued by "between", .* if that is an intermediate CA, the server has to send its certificate as well$/,
      "unknown_ca",
    ],
    [
      withBadSignature(known.issue({ names })),
      "CERT_SIGNATURE_FAILURE",
      /^the signature of the certificate was not made by "known root", which it names$/,
      "cert_validation",
    ],
    [
      // Of the same name as the root that is trusted.
      makeAuthority("known root").issue({ names }),
      "CERT_SIGNATURE_FAILURE",
      /not made by "known root"/,
      "cert_validation",
    ],
    [
      known.issue({ names, isAuthority: true }),
      "CERT_REJECTED",
      /"known root", which is trusted, but is not fit for this use$/,
      "cert_validation",
    ],
    [
      { ...unknownLeaf, certPem: `${unknownLeaf.certPem}\n${unknown.certPem}` },
      "SELF_SIGNED_CERT_IN_CHAIN",
      /^the certificate was issued under "unknown root", which is not trusted$/,
      "unknown_ca",
    ],
  ];
  for (const [certificate, code, detail, reason] of rows) {
    const sent: unknown[] = [];
    const server = tls.createServer({ cert: certificate.certPem, key: certificate.keyPem }, (socket) => {
      socket.on("error", () => {});
      socket.on("data", (data) => sent.push(data));
    });
    const port = await listen(server);
    const refused = await refusal(port);
    assertEquals(isTrustFailure(refused), true, refused);
    const fault = await diagnosed(port, {
      serverName: "localhost",
      context,
      timeoutMs: 5_000,
      rootsNamed,
    });
    assertEquals(fault?.code, code);
    assertMatch(fault!.detail, detail);
    assertEquals(normalizeTlsFailure(fault!, "server"), {
      normalizedReason: reason as "unknown_ca",
      sourceConfidence: "authoritative",
    });
    assertEquals(sent, []);
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
});

Deno.test("diagnoseCertificate gives null when the server is gone, silent or speaks something else", async () => {
  const options = { serverName: "127.0.0.1", context, timeoutMs: 50, rootsNamed };
  for (const answer of ["HTTP/1.1 400 Bad Request\r\n\r\n", ""]) {
    const sockets = new Set<net.Socket>();
    const server = net.createServer((socket) => {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.write(answer);
    });
    const port = await listen(server);
    assertEquals(await diagnosed(port, options), null);
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    assertEquals(await diagnosed(port, options), null);
  }
});

Deno.test("diagnoseCertificate leaves nothing behind when it is cancelled, before it connects and after", async () => {
  const { promise: reached, resolve: reach } = Promise.withResolvers<void>();
  const { promise: left, resolve: leave } = Promise.withResolvers<void>();
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.on("close", () => leave());
    socket.once("data", () => reach());
  });
  const port = await listen(server);
  const options = { serverName: "localhost", context, timeoutMs: 60_000, rootsNamed };
  const told: unknown[] = [];
  const start = () => diagnoseCertificate({ host: "127.0.0.1", port }, options, (found) => told.push(found));
  start()();
  const cancel = start();
  await reached;
  cancel();
  await left;
  assertEquals(told, []);
  await new Promise<void>((resolve) => server.close(() => resolve()));
});

function diagnosed(port: number, options: DiagnosisOptions): Promise<CertificateFault | null> {
  const { promise, resolve } = Promise.withResolvers<CertificateFault | null>();
  diagnoseCertificate({ host: "127.0.0.1", port }, options, resolve);
  return promise;
}

async function refusal(port: number): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = tls.connect({ host: "127.0.0.1", port, servername: "localhost", secureContext: context });
  socket.once("error", (error) => resolve("code" in error ? String(error.code) : error.name));
  socket.once("secureConnect", () => resolve("accepted"));
  const code = await promise;
  socket.destroy();
  return code;
}

async function listen(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening");
  return address.port;
}
