/** An HTTPS server that demands a certificate of its clients and says in a field whose it was shown. */
import type * as net from "node:net";
import * as tls from "node:tls";
import type { Certificate } from "./certificates.ts";

export interface DemandingServer {
  readonly port: number;
  close(): Promise<void>;
}

/** `roots`: PEM of what vouches for its clients. */
export async function startDemandingServer(
  certificate: Certificate,
  roots: string,
): Promise<DemandingServer> {
  const server = tls.createServer({
    cert: certificate.certPem,
    key: certificate.keyPem,
    ca: roots,
    requestCert: true,
    rejectUnauthorized: true,
  }, (socket) => {
    socket.on("error", () => {});
    socket.once("data", () => {
      const { subject, issuer } = socket.getPeerCertificate();
      const shown = `${subject?.CN} below ${issuer?.CN}`;
      socket.end(`HTTP/1.1 200 OK\r\nShown: ${shown}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`);
    });
  });
  server.on("tlsClientError", () => {});
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as net.AddressInfo).port,
    close: () => {
      // One whose handshake failed may still be open.
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(() => resolve()));
    },
  };
}
