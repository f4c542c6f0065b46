/**
 * What makes a Node.js older than 22.21 use the proxy. Those know neither NODE_USE_ENV_PROXY nor any other
 * variable for it, so `exec` has them load this first (NODE_OPTIONS --require): `http`, `https` and `fetch`
 * then open a tunnel at the proxy for every connection. Newer ones do so themselves, and it does nothing.
 */
export const NODE_PRELOAD = `"use strict";
// Written by soth-mitm exec: makes a Node.js without NODE_USE_ENV_PROXY use HTTPS_PROXY.
const native = process.allowedNodeEnvironmentFlags.has("--use-env-proxy");
const other = process.versions.deno !== undefined || process.versions.bun !== undefined;
if (!native && !other && process.env.HTTPS_PROXY) {
  const http = require("node:http");
  const https = require("node:https");
  const net = require("node:net");
  const tls = require("node:tls");
  const proxy = new URL(process.env.HTTPS_PROXY);

  const proxyHost = proxy.hostname.replace("[", "").replace("]", "");
  const direct = new http.Agent();
  const openTunnel = (host, port, done) => {
    const authority = (net.isIPv6(host) ? "[" + host + "]" : host) + ":" + port;
    const request = http.request({
      host: proxyHost,
      port: proxy.port,
      method: "CONNECT",
      path: authority,
      headers: { host: authority },
      agent: direct,
    });
    request.once("connect", ({ statusCode }, socket) => {
      if (statusCode === 200) return done(null, socket);
      socket.destroy();
      done(new Error("the proxy answered " + statusCode + " to CONNECT " + authority));
    });
    request.once("error", done);
    request.end();
  };
  const nameFor = (host) => net.isIP(host) ? undefined : host;

  class TunnelAgent extends http.Agent {
    createConnection(options, done) {
      const host = options.host || "localhost";
      // A program that asks for a proxy's CONNECT itself is on its way already.
      if (host === proxyHost && Number(options.port) === Number(proxy.port)) {
        return super.createConnection(options, done);
      }
      openTunnel(host, options.port || 80, done);
    }
  }
  class TunnelTlsAgent extends https.Agent {
    createConnection(options, done) {
      const host = options.host || "localhost";
      openTunnel(host, options.port || 443, (error, socket) => {
        if (error) return done(error);
        const servername = options.servername || nameFor(host);
        done(null, tls.connect({ ...options, path: undefined, socket, servername }));
      });
    }
  }
  http.globalAgent = new TunnelAgent({ keepAlive: true, timeout: 5000 });
  https.globalAgent = new TunnelTlsAgent({ keepAlive: true, timeout: 5000 });
  require("node:module").syncBuiltinESMExports();

  void globalThis.Headers; // loads what fetch is made of, and with it the dispatcher
  const slot = Symbol.for("undici.globalDispatcher.1");
  if (globalThis[slot] !== undefined) {
    const Dispatcher = globalThis[slot].constructor;
    globalThis[slot] = new Dispatcher({
      connect({ hostname, port, protocol, servername }, done) {
        const host = hostname.replace("[", "").replace("]", "");
        const secure = protocol === "https:";
        openTunnel(host, port || (secure ? 443 : 80), (error, socket) => {
          if (error || !secure) return done(error, socket);
          const name = servername || nameFor(host);
          const over = tls.connect({ socket, host, servername: name, ALPNProtocols: ["http/1.1"] });
          over.once("secureConnect", () => done(null, over));
          over.once("error", done);
        });
      },
    });
  }
}
`;

/** NODE_OPTIONS with the preload added to what the user has there. */
export function nodeOptions(given: string | undefined, preloadPath: string): string {
  const quoted = `"${preloadPath.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  return `${given === undefined || given === "" ? "" : `${given} `}--require ${quoted}`;
}
