/**
 * The certificates the proxy shows servers that ask for one: `tls.upstream_client_cert`, and those of overrides for
 * their hosts. Read once at the start, for afterwards files cannot be read any more. A server is shown one only when
 * it asks, and in TLS 1.3 only after it was verified.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import type { Settings } from "../core/settings.ts";
import { readCaFile } from "./ca_files.ts";
import { StartError } from "./start_error.ts";

export interface ClientIdentity {
  /** Unique among those of a proxy. */
  readonly id: string;
  /** The certificate, then what issued it, as the file has them. */
  readonly certPem: string;
  readonly keyPem: string;
}

export class ClientIdentities {
  readonly #byOverride = new Map<string, ClientIdentity>();
  #standard: ClientIdentity | null = null;

  /** A `StartError` (`config_invalid`) names the setting and the file that cannot be used. */
  static async load({ tls, overrides }: Pick<Settings, "tls" | "overrides">): Promise<ClientIdentities> {
    const identities = new ClientIdentities();
    const { upstreamClientCert: cert, upstreamClientKey: key } = tls;
    if (cert !== null && key !== null) {
      identities.#standard = await read("", cert, key, "tls.upstream_client_cert");
    }
    for (const { id, clientCert, clientKey } of overrides) {
      if (clientCert === undefined || clientKey === undefined) continue;
      const where = `overrides: ${JSON.stringify(id)}: client_cert`;
      identities.#byOverride.set(id, await read(id, clientCert, clientKey, where));
    }
    return identities;
  }

  /** For a flow under that override; null: none. */
  of(overrideId: string | null): ClientIdentity | null {
    return (overrideId === null ? undefined : this.#byOverride.get(overrideId)) ?? this.#standard;
  }
}

async function read(id: string, certPath: string, keyPath: string, where: string): Promise<ClientIdentity> {
  const certPem = await readCaFile(certPath, { secret: false });
  const keyPem = await readCaFile(keyPath, { secret: true });
  const certificate = readable(() => new X509Certificate(certPem), where, certPath, "a certificate in PEM");
  const key = readable(() => createPrivateKey(keyPem), where, keyPath, "a private key in PEM");
  if (!certificate.checkPrivateKey(key)) {
    throw new StartError("config_invalid", `${where}: ${keyPath} is not the key of ${certPath}`);
  }
  return { id, certPem, keyPem };
}

function readable<Value>(make: () => Value, where: string, path: string, what: string): Value {
  try {
    return make();
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new StartError("config_invalid", `${where}: ${path} is not ${what}: ${why}`);
  }
}
