/**
 * Accepts connections on TCP and Unix sockets.
 *
 * When the process runs out of descriptors, the runtime's server stops accepting for good and says
 * nothing. So the listener does not let it come so far: near the descriptor limit (`descriptors.ts`)
 * or when a dial has failed for want of one, it stops listening, and listens again when enough
 * connections are gone.
 */
import dns from "node:dns";
import net from "node:net";
import {
  ADDRESS_FORMS,
  formatListenAddress,
  type ListenAddress,
  parseListenAddress,
} from "./config/address.ts";
import { StartError } from "./start_error.ts";

export interface ListenerOptions {
  onConnection(socket: net.Socket): void;
  onPause(address: string): void;
  onResume(address: string): void;
  onError(message: string): void;
}

const BACKLOG = 4096;
const RELISTEN_RETRY_MS = 100;

export class Listener {
  #server: net.Server;
  #closed = false;
  #paused = false;
  #resuming = false;

  private constructor(
    /** The address with the real port. */
    readonly address: string,
    readonly bound: ListenAddress,
    server: net.Server,
    private readonly options: ListenerOptions,
  ) {
    this.#server = server;
  }

  static async listen(text: string, options: ListenerOptions): Promise<Listener> {
    const wanted = parseListenAddress(text);
    if (wanted.type === "error") {
      throw new StartError(
        "config_invalid",
        `listen: cannot use ${JSON.stringify(text)}: ${wanted.detail}; allowed are ${ADDRESS_FORMS}`,
      );
    }
    if (wanted.type === "unix" && Deno.build.os === "windows") {
      throw new StartError(
        "proxy_init_failed",
        `listen: ${text}: this platform has no Unix sockets; use host:port`,
      );
    }
    if (wanted.type === "unix") await removeStaleSocket(wanted.path);
    else await requireGrant(text, wanted.host, wanted.port);
    const server = await bind(wanted, options).catch((error) => {
      throw new StartError("proxy_init_failed", listenFailure(text, error), { cause: error });
    });
    const bound = boundAddress(wanted, server);
    return new Listener(formatListenAddress(bound), bound, server, options);
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Stops listening until `resume`; connections that were accepted stay. */
  pause(): void {
    if (this.#paused || this.#resuming || this.#closed) return;
    this.#paused = true;
    this.#server.close();
    this.options.onPause(this.address);
  }

  resume(): void {
    if (!this.#paused || this.#resuming || this.#closed) return;
    this.#resuming = true;
    bind(this.bound, this.options).then(
      (server) => {
        this.#resuming = false;
        if (this.#closed) {
          server.close();
          return;
        }
        this.#server = server;
        this.#paused = false;
        this.options.onResume(this.address);
      },
      (error) => {
        this.#resuming = false;
        this.options.onError(listenFailure(this.address, error));
        setTimeout(() => this.resume(), RELISTEN_RETRY_MS);
      },
    );
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (!this.#paused) this.#server.close();
  }
}

/** The runtime throws for want of a grant where nobody can catch it, so the grant is looked for before. */
async function requireGrant(text: string, host: string, port: number): Promise<void> {
  const missing = (name: string): string | null => {
    const grant = formatListenAddress({ type: "tcp", host: name, port });
    return isGranted(grant) ? null : grant;
  };
  let grant = missing(host);
  if (grant === null && net.isIP(host) === 0) {
    // What does not resolve is told of by listening.
    const address = await new Promise<string | null>((resolve) =>
      dns.lookup(host, (error, found) => resolve(error === null ? found : null))
    );
    if (address !== null) grant = missing(address);
  }
  if (grant === null) return;
  throw new StartError(
    "proxy_init_failed",
    `Cannot listen on ${text}: listening there is not granted to this program; start it with --allow-net=${grant}`,
  );
}

function isGranted(host: string): boolean {
  try {
    return Deno.permissions.querySync({ name: "net", host }).state === "granted";
  } catch {
    // An address that no grant can name, as one with a zone: listening tells what there is to tell.
    return true;
  }
}

function bind(address: ListenAddress, options: ListenerOptions): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const server = net.createServer(
      { allowHalfOpen: true, noDelay: true, pauseOnConnect: true },
      options.onConnection,
    );
    server.once("error", reject);
    const listening = () => {
      server.off("error", reject);
      server.on("error", (error) => options.onError(listenFailure(formatListenAddress(address), error)));
      resolve(server);
    };
    if (address.type === "unix") server.listen({ path: address.path, backlog: BACKLOG }, listening);
    else server.listen({ host: address.host, port: address.port, backlog: BACKLOG }, listening);
  });
}

function boundAddress(wanted: ListenAddress, server: net.Server): ListenAddress {
  const address = server.address();
  if (wanted.type === "unix" || address === null || typeof address === "string") return wanted;
  return { type: "tcp", host: address.address, port: address.port };
}

function listenFailure(text: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const message = error instanceof Error ? error.message : String(error);
  switch (code) {
    case "EADDRINUSE":
      return `Cannot listen on ${text}: the address is in use; stop the other program or choose another port (0 takes a free one)`;
    case "EACCES":
      return `Cannot listen on ${text}: not permitted; ports below 1024 need privileges`;
    case "EADDRNOTAVAIL":
      return `Cannot listen on ${text}: this machine has no such address`;
    default:
      return `Cannot listen on ${text}: ${message}`;
  }
}

/** A socket file that nobody listens on is left over from a killed process. */
async function removeStaleSocket(path: string): Promise<void> {
  let isSocket: boolean | null;
  try {
    isSocket = (await Deno.lstat(path)).isSocket;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return;
    throw new StartError("proxy_init_failed", `Cannot look at ${path}: ${(error as Error).message}`);
  }
  if (isSocket !== true) {
    throw new StartError("proxy_init_failed", `Cannot listen on unix:${path}: a file of that name exists`);
  }
  const alive = await new Promise<boolean>((resolve) => {
    const probe = net.connect({ path });
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
  if (alive) {
    throw new StartError("proxy_init_failed", `Cannot listen on unix:${path}: another program listens there`);
  }
  await Deno.remove(path);
}
