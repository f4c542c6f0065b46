/**
 * Secures the server side of a flow: picks the roots for the host, tries again with all of them when
 * the narrowed ones fail, and finds words for a certificate that was refused.
 */
import type tls from "node:tls";
import type { Authority } from "../core/authority.ts";
import type { SecureServer, TransportFault } from "../core/session.ts";
import { diagnoseCertificate, isTrustFailure } from "./certificate_diagnosis.ts";
import type { ClientIdentities } from "./client_identities.ts";
import type { Conn } from "./conn.ts";
import type { Dialer } from "./dialer.ts";
import type { SecureCallbacks } from "./flow_driver.ts";
import type { ServerTrust } from "./server_trust.ts";
import { secureServerSide } from "./tls_conn.ts";

const DIAGNOSIS_TIMEOUT_MS = 2_000;

export class ServerTls {
  constructor(
    private readonly trust: ServerTrust,
    private readonly dialer: Dialer,
    private readonly sendSni: boolean,
    private readonly identities: ClientIdentities,
  ) {}

  /** Gives a cancel; after it no callback comes. */
  secure(conn: Conn, target: Authority, options: SecureServer, callbacks: SecureCallbacks): () => void {
    const { profile } = options;
    const identity = this.identities.of(options.overrideId);
    if (!options.verify) {
      return this.#attempt(
        conn,
        this.trust.wholeContext(profile, identity).context,
        options,
        callbacks,
        callbacks.failed,
      );
    }
    const { context, narrow } = this.trust.contextFor(options.host, profile, identity);
    let cancelled = false;
    let cancel = this.#attempt(conn, context, options, callbacks, (fault) => {
      if (!isTrustFailure(fault.code)) callbacks.failed(fault);
      else if (narrow) retryWithAllRoots(fault);
      else diagnose(fault);
    });
    // The roots were narrowed to those this host used before. If they are not the ones any more, all
    // of them are tried on a fresh connection before the failure is believed.
    const retryWithAllRoots = (first: TransportFault) => {
      this.trust.forget(options.host);
      cancel = this.dialer.dial(target, {
        opened: (again) => {
          const all = this.trust.contextFor(options.host, profile, identity).context;
          cancel = this.#attempt(
            again,
            all,
            options,
            callbacks,
            (fault) => isTrustFailure(fault.code) ? diagnose(fault) : callbacks.failed(fault),
          );
        },
        failed: () => callbacks.failed(first),
      });
    };
    const diagnose = (fault: TransportFault) => {
      diagnoseCertificate(target, {
        serverName: this.sendSni ? options.host : null,
        // Whoever was refused is shown no certificate.
        context: this.trust.wholeContext(profile).context,
        timeoutMs: DIAGNOSIS_TIMEOUT_MS,
        rootsNamed: (subject) => this.trust.rootsNamed(subject),
      }).then((found) => {
        if (cancelled) return;
        callbacks.failed(
          found === null ? fault : { ...fault, ...found, raw: `${fault.code}: ${fault.detail}` },
        );
      });
    };
    return () => {
      cancelled = true;
      cancel();
    };
  }

  #attempt(
    conn: Conn,
    context: tls.SecureContext,
    options: SecureServer,
    callbacks: SecureCallbacks,
    failed: (fault: TransportFault) => void,
  ): () => void {
    return secureServerSide(
      conn,
      {
        context,
        host: options.host,
        sendSni: this.sendSni,
        alpn: options.alpn,
        verify: options.verify,
      },
      {
        secured: (secured, info) => {
          if (options.verify) this.trust.learned(options.host, secured.socket);
          callbacks.secured(secured, info);
        },
        failed,
      },
    );
  }
}
