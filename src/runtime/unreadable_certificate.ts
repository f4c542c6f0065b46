/**
 * A server may put anything behind its own certificate. When a handshake is over the runtime reads all of
 * them, and throws, inside a callback of its own where nobody can catch it, if there is one it cannot read.
 * For us that is a handshake that failed: OpenSSL refuses such a server, too.
 */
import type tls from "node:tls";

const HANDSHAKE_OVER = "secure";

/** To be called before the handshake of a client's socket begins. `fail` is told of what would have been thrown. */
export function catchUnreadableCertificate(
  socket: tls.TLSSocket,
  fail: (error: Error & { code: string }) => void,
): void {
  for (const listener of socket.listeners(HANDSHAKE_OVER)) {
    socket.off(HANDSHAKE_OVER, listener as () => void);
    // Once: it is over once, and the connection then need not keep who waited for it.
    socket.once(HANDSHAKE_OVER, (...args: unknown[]) => {
      try {
        listener.apply(socket, args);
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        const message = `the server sent a certificate that cannot be read: ${why}`;
        fail(Object.assign(new Error(message), { code: "CERT_REJECTED" }));
      }
    });
  }
}
