// A TLS peer on Node: many servers at once, or one client through a proxy. Its arguments are those of tls_peer.py.
import { readFileSync } from "node:fs";
import net from "node:net";
import process from "node:process";
import tls from "node:tls";

const restricted = ({ max, ciphers, alpn }) => ({
  ...(max === undefined ? {} : { minVersion: "TLSv1", maxVersion: max === "1.0" ? "TLSv1" : `TLSv${max}` }),
  ...(ciphers === undefined ? {} : { ciphers }),
  ...(alpn === undefined ? {} : { ALPNProtocols: alpn }),
});

async function serve(options) {
  const server = tls.createServer({
    cert: readFileSync(options.cert),
    key: readFileSync(options.key),
    ...restricted(options),
    ...(options.clientCa === undefined ? {} : {
      requestCert: true,
      rejectUnauthorized: true,
      ca: readFileSync(options.clientCa),
    }),
  }, (socket) => {
    socket.on("error", () => {});
    socket.once(
      "data",
      () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"),
    );
  });
  server.on("tlsClientError", () => {});
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server.address().port;
}

function connect(options) {
  const colon = options.proxy.lastIndexOf(":");
  const plain = net.connect(Number(options.proxy.slice(colon + 1)), options.proxy.slice(0, colon));
  plain.write(`CONNECT ${options.target} HTTP/1.1\r\nHost: ${options.target}\r\n\r\n`);
  plain.on("error", fail);
  plain.once("data", () => {
    const socket = tls.connect({
      socket: plain,
      servername: options.target.slice(0, options.target.lastIndexOf(":")),
      ...(options.ca === undefined ? {} : { ca: readFileSync(options.ca) }),
      ...restricted(options),
    });
    socket.on("error", fail);
    socket.on("secureConnect", () => {
      console.log(socket.getProtocol());
      socket.end("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
      socket.resume();
    });
    socket.on("close", () => process.exit());
  });
}

function fail(error) {
  console.error(error.message);
  process.exit(1);
}

const [role, given] = [process.argv[2], JSON.parse(process.argv[3])];
if (role === "serve") console.log("listening", ...await Promise.all(given.map(serve)));
else connect(given);
