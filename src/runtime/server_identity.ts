/**
 * Is a verified certificate for the host that was asked for? The runtime's own answer, and then ours on the
 * certificate's bytes: the runtime's rests on a text that a name with a comma can forge.
 */
import tls from "node:tls";
import { checkCertificateName } from "../tls/certificate_names.ts";

/** In the form of node's `checkServerIdentity`: undefined where it is. */
export function checkIdentity(host: string, certificate: tls.PeerCertificate): Error | undefined {
  const fault = tls.checkServerIdentity(host, certificate);
  if (fault !== undefined) return fault;
  const check = checkCertificateName(certificate.raw, host);
  if (check === "match" || check === "unnamed") return undefined;
  const message = check === "malformed"
    ? "the certificate's names cannot be read"
    : `the certificate is not for ${host}: its names only look so in print`;
  return Object.assign(new Error(message), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

/** No path is longer in practice. */
const CHAIN_LENGTH_MAX = 16;

/** In the same form: undefined where no certificate of the chain has expired. */
export function checkNotExpired(leaf: tls.DetailedPeerCertificate, nowMs: number): Error | undefined {
  let certificate: tls.DetailedPeerCertificate | undefined = leaf;
  for (let depth = 0; certificate !== undefined && depth < CHAIN_LENGTH_MAX; depth++) {
    const { valid_to: end, issuerCertificate }: tls.DetailedPeerCertificate = certificate;
    // What cannot be read is not known to hold.
    if (!(Date.parse(end) >= nowMs)) {
      return Object.assign(new Error(`a certificate of the session expired at ${end}`), {
        code: "CERT_HAS_EXPIRED",
      });
    }
    certificate = issuerCertificate === certificate ? undefined : issuerCertificate;
  }
  return undefined;
}
