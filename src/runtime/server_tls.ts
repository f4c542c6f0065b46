/**
 * Secures the server side of a flow: picks the roots for the host, resumes a session where there is one, tries
 * again without it and with all roots when that fails, and finds words for a certificate that was refused.
 */
import type { Buffer } from "node:buffer";
import { isIP } from "node:net";
import type tls from "node:tls";
import type { Authority } from "../core/authority.ts";
import type { SecureServer, TransportFault } from "../core/session.ts";
import { diagnoseCertificate, isTrustFailure } from "./certificate_diagnosis.ts";
import type { ClientIdentities } from "./client_identities.ts";
import type { Conn } from "./conn.ts";
import type { Dialer } from "./dialer.ts";
import type { SecureCallbacks } from "./flow_driver.ts";
import { ServerSessions } from "./server_sessions.ts";
import { type ServerContext, type ServerTrust, versionsOf } from "./server_trust.ts";
import { secureServerSide } from "./tls_conn.ts";

const DIAGNOSIS_TIMEOUT_MS = 2_000;

interface Resumption {
  /** What a session is remembered by; null where there can be none. */
  readonly key: string | null;
  readonly session: Buffer | null;
}

const NO_RESUMPTION: Resumption = { key: null, session: null };

export class ServerTls {
  readonly #sessions = new ServerSessions();

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
    const { narrow, ...trusted } = this.trust.contextFor(options.host, profile, identity);
    let cancel = () => {};
    const attempt = (
      on: Conn,
      { context, resumable }: Pick<ServerContext, "context" | "resumable">,
      resume: boolean,
      refused: (fault: TransportFault) => void,
    ) => {
      const key = resumable ? this.#sessionKey(options) : null;
      const session = key === null || !resume ? null : this.#sessions.offer(key);
      const giveUp = this.#attempt(on, context, options, callbacks, (fault) => {
        if (key !== null && session !== null) {
          // Whatever became of the session, the server is judged by a full handshake.
          this.#sessions.failed(key);
          redial(fault, (again) => attempt(again, { context, resumable }, false, refused));
        } else if (isTrustFailure(fault.code)) refused(fault);
        else callbacks.failed(fault);
      }, { key, session });
      cancel = () => {
        // A server that does not answer to a session may well answer without.
        if (key !== null && session !== null) this.#sessions.failed(key);
        giveUp();
      };
    };
    const redial = (first: TransportFault, then: (conn: Conn) => void) => {
      callbacks.abandoned();
      cancel = this.dialer.dial(target, { opened: then, failed: () => callbacks.failed(first) });
    };
    // The roots were narrowed to those this host used before. If they are not the ones any more, all
    // of them are tried on a fresh connection before the failure is believed.
    const retryWithAllRoots = (first: TransportFault) => {
      this.trust.forget(options.host);
      redial(
        first,
        (again) => attempt(again, this.trust.contextFor(options.host, profile, identity), false, diagnose),
      );
    };
    const diagnose = (fault: TransportFault) => {
      callbacks.abandoned();
      cancel = diagnoseCertificate(target, {
        serverName: this.sendSni ? options.host : null,
        // Whoever was refused is shown no certificate.
        context: this.trust.wholeContext(profile).context,
        timeoutMs: DIAGNOSIS_TIMEOUT_MS,
        rootsNamed: (subject) => this.trust.rootsNamed(subject),
      }, (found) => {
        callbacks.failed(
          found === null ? fault : { ...fault, ...found, raw: `${fault.code}: ${fault.detail}` },
        );
      });
    };
    attempt(conn, trusted, true, narrow ? retryWithAllRoots : diagnose);
    return () => cancel();
  }

  /** The runtime tells sessions apart by the name that is sent, so there has to be one. */
  #sessionKey({ host, port, profile }: SecureServer): string | null {
    return this.sendSni && isIP(host) === 0 ? `${host}:${port} ${versionsOf(profile)}` : null;
  }

  #attempt(
    conn: Conn,
    context: tls.SecureContext,
    options: SecureServer,
    callbacks: SecureCallbacks,
    failed: (fault: TransportFault) => void,
    { key, session }: Resumption = NO_RESUMPTION,
  ): () => void {
    return secureServerSide(
      conn,
      {
        context,
        host: options.host,
        sendSni: this.sendSni,
        alpn: options.alpn,
        verify: options.verify,
        session,
      },
      {
        secured: (secured, info) => {
          if (key !== null) {
            if (session !== null) this.#sessions.worked(key);
            // The `session` event would come only when this connection closes.
            const given = secured.socket.getSession();
            if (given !== undefined && given !== null) this.#sessions.given(key, given);
          }
          if (options.verify) this.trust.learned(options.host, secured.socket);
          callbacks.secured(secured, info);
        },
        failed,
      },
    );
  }
}
