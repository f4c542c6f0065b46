/** ADDR of the command line and the `listen` setting: `host:port`, `[v6]:port` or `unix:/path`. */
import { isIPv4, isIPv6 } from "node:net";

export type ListenAddress =
  | { readonly type: "tcp"; readonly host: string; readonly port: number }
  | { readonly type: "unix"; readonly path: string };

export interface AddressError {
  readonly type: "error";
  readonly detail: string;
}

export const ADDRESS_FORMS = 'host:port, [v6]:port or unix:/path, such as "127.0.0.1:8080"';

export function parseListenAddress(text: string): ListenAddress | AddressError {
  if (text.startsWith("unix:")) {
    const path = text.slice("unix:".length);
    return path === "" || path.includes("\0") ? refuse("it names no path") : { type: "unix", path };
  }
  const colon = text.lastIndexOf(":");
  if (colon < 0) return refuse("it has no port");
  const port = parsePort(text.slice(colon + 1));
  if (port === null) return refuse("the port is not a number from 0 to 65535");
  const host = text.slice(0, colon);
  if (host.startsWith("[") && host.endsWith("]")) {
    const bare = host.slice(1, -1);
    return isIPv6(bare) ? { type: "tcp", host: bare, port } : refuse("the brackets hold no IPv6 address");
  }
  if (host === "") return refuse("it has no host (0.0.0.0 is every interface)");
  if (host.includes(":")) return refuse("an IPv6 address needs brackets");
  return isIPv4(host) || isName(host) ? { type: "tcp", host, port } : refuse("the host is not a name");
}

export function formatListenAddress(address: ListenAddress): string {
  if (address.type === "unix") return `unix:${address.path}`;
  return address.host.includes(":") ? `[${address.host}]:${address.port}` : `${address.host}:${address.port}`;
}

/** Whether only programs of this machine can reach it. */
export function isLoopback(address: ListenAddress): boolean {
  if (address.type === "unix") return true;
  const { host } = address;
  return host === "localhost" || host === "::1" || (isIPv4(host) && host.startsWith("127."));
}

function parsePort(text: string): number | null {
  if (!/^\d{1,5}$/.test(text)) return null;
  const port = Number(text);
  return port <= 65_535 ? port : null;
}

function isName(host: string): boolean {
  return host.length <= 253 &&
    host.split(".").every((label) => /^[A-Za-z0-9_-]{1,63}$/.test(label)) &&
    !/^[0-9.]+$/.test(host);
}

function refuse(detail: string): AddressError {
  return { type: "error", detail };
}
