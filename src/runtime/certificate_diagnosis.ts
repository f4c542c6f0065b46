/**
 * What is wrong with a certificate that was refused. The runtime says the same
 * (UNABLE_TO_VERIFY_LEAF_SIGNATURE), be it expired, not yet valid or from an unknown issuer, and does not
 * show it. So it is fetched once more, on a connection of its own that verifies nothing
 * and over which nothing is ever sent; what it tells only words the refusal, which stands in any case.
 */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import tls from "node:tls";
import type { Authority } from "../core/authority.ts";
import { catchUnreadableCertificate } from "./unreadable_certificate.ts";

/** A code of OpenSSL, which `normalizeTlsFailure` knows, and a sentence for the user. */
export interface CertificateFault {
  readonly code: string;
  readonly detail: string;
}

export interface DiagnosisOptions {
  /** Null: no SNI is sent. */
  readonly serverName: string | null;
  /** For its versions; its roots do not matter. */
  readonly context: tls.SecureContext;
  readonly timeoutMs: number;
  readonly rootsNamed: RootsNamed;
}

/** The trusted roots with this subject. */
export type RootsNamed = (subject: string) => readonly X509Certificate[];

/** Whether a handshake that failed with this code failed for want of a root, or for something that looks the same. */
export function isTrustFailure(code: string): boolean {
  return TRUST_CODES.has(code);
}

/** What rustls refuses goes by these names; only a leaf that names itself as its issuer gets the last. */
const TRUST_CODES: ReadonlySet<string> = new Set([
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
]);

/**
 * `found` is told null when nothing can be said: the server cannot be reached again, or shows nothing that explains
 * the refusal. Gives a cancel, after which it is told nothing.
 */
export function diagnoseCertificate(
  { host, port }: Authority,
  { serverName, context, timeoutMs, rootsNamed }: DiagnosisOptions,
  found: (fault: CertificateFault | null) => void,
): () => void {
  const socket = tls.connect({
    host,
    port,
    servername: serverName === null || isIP(serverName) !== 0 ? "" : serverName,
    secureContext: context,
    rejectUnauthorized: false,
  });
  const timer = setTimeout(() => finish(null), timeoutMs);
  let over = false;
  const stop = () => {
    over = true;
    clearTimeout(timer);
    socket.destroy();
  };
  const finish = (fault: CertificateFault | null) => {
    if (over) return;
    stop();
    found(fault);
  };
  catchUnreadableCertificate(socket, ({ code, message }) => finish({ code, detail: message }));
  socket.once("secureConnect", () => finish(certificateFault(chainOf(socket), Date.now(), rootsNamed)));
  socket.on("error", () => finish(null));
  socket.once("close", () => finish(null));
  return stop;
}

/** What is wrong with a chain that no trusted root anchors or whose time is not now; the leaf comes first. */
export function certificateFault(
  chain: readonly X509Certificate[],
  nowMs: number,
  rootsNamed: RootsNamed = () => [],
): CertificateFault | null {
  const leaf = chain[0];
  if (leaf === undefined) return null;
  for (const [depth, certificate] of chain.entries()) {
    const what = depth === 0 ? "the certificate" : `the issuing certificate ${nameIn(certificate.subject)}`;
    if (Date.parse(certificate.validTo) < nowMs) {
      return { code: "CERT_HAS_EXPIRED", detail: `${what} expired at ${timeOf(certificate.validTo)}` };
    }
    if (Date.parse(certificate.validFrom) > nowMs) {
      return {
        code: "CERT_NOT_YET_VALID",
        detail: `${what} is valid only from ${timeOf(certificate.validFrom)}`,
      };
    }
  }
  if (leaf.subject === leaf.issuer) {
    return { code: "DEPTH_ZERO_SELF_SIGNED_CERT", detail: "the certificate is self-signed" };
  }
  const last = chain[chain.length - 1]!;
  for (const [depth, certificate] of chain.entries()) {
    if (certificate.subject === certificate.issuer) continue;
    // What was sent for the issuer counts before a root of that name.
    const sent = chain.filter(({ subject }) => subject === certificate.issuer);
    const issuers = sent.length > 0 ? sent : rootsNamed(certificate.issuer);
    if (issuers.length === 0 || issuers.some((issuer) => isSignedBy(certificate, issuer))) continue;
    const what = depth === 0 ? "the certificate" : `the issuing certificate ${nameIn(certificate.subject)}`;
    return {
      code: "CERT_SIGNATURE_FAILURE",
      detail: `the signature of ${what} was not made by ${nameIn(certificate.issuer)}, which it names`,
    };
  }
  const isSelfSigned = last.subject === last.issuer;
  const anchors = rootsNamed(last.issuer);
  if (anchors.some((root) => !isSelfSigned || root.fingerprint256 === last.fingerprint256)) {
    return {
      code: "CERT_REJECTED",
      detail: `the certificate was issued under ${
        nameIn(last.issuer)
      }, which is trusted, but is not fit for this use`,
    };
  }
  if (isSelfSigned) {
    return {
      code: "SELF_SIGNED_CERT_IN_CHAIN",
      detail: `the certificate was issued under ${nameIn(last.subject)}, which is not trusted`,
    };
  }
  const sent = chain.length === 1 ? "its own certificate alone" : `${chain.length} certificates`;
  return {
    code: "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
    detail:
      `the certificate was issued by ${
        nameIn(last.issuer)
      }, which is not trusted, and the server sent ${sent}: ` +
      `if that is an intermediate CA, the server has to send its certificate as well`,
  };
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey);
  } catch {
    // A kind of key that the platform cannot use is no proof of a bad signature.
    return true;
  }
}

const CHAIN_LENGTH_MAX = 16;

/** As the server sent it, the leaf first. */
export function chainOf(socket: tls.TLSSocket): X509Certificate[] {
  const chain: X509Certificate[] = [];
  let entry: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  while (entry?.raw !== undefined && chain.length < CHAIN_LENGTH_MAX) {
    chain.push(new X509Certificate(entry.raw));
    if (entry.issuerCertificate === entry) break;
    entry = entry.issuerCertificate;
  }
  return chain;
}

/** The common name, or else the whole name, of `C=US\nO=Example\nCN=Example Root`; never more than a line's worth. */
function nameIn(distinguishedName: string): string {
  const lines = distinguishedName.split("\n");
  const common = lines.find((line) => line.startsWith("CN="))?.slice(3);
  return JSON.stringify((common ?? lines.join(", ")).slice(0, 100));
}

function timeOf(text: string): string {
  const time = new Date(text);
  return Number.isNaN(time.getTime()) ? text : time.toISOString();
}
