/** A relay of octets that cuts one direction short: how connections break in the middle of a TLS handshake. */
import * as net from "node:net";

/** What becomes of the connection once the part is through. */
export type CutEnd = "reset" | "eof" | "stall";

export interface CutOptions {
  readonly targetPort: number;
  /** Whose octets are cut short; the other's go through while the connection lasts. */
  readonly from: "client" | "server";
  /** How many of them pass; `hello`: the first TLS record. */
  readonly after: number | "hello";
  /** What passes whole before these are counted: all that is said before the other side has answered so often. */
  readonly afterAnswers?: number;
  readonly end: CutEnd;
  /** Octets before TLS begins end with this: the head of a CONNECT. They do not count. */
  readonly behind?: string;
}

export interface Cut extends AsyncDisposable {
  readonly port: number;
}

export async function startCut(options: CutOptions): Promise<Cut> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((client) => {
    const target = net.connect(options.targetPort, "127.0.0.1");
    for (const socket of [client, target]) {
      sockets.add(socket);
      socket.on("error", () => {});
    }
    const [cutSide, other] = options.from === "client" ? [client, target] : [target, client];
    let counts = options.behind === undefined;
    let before = "";
    let passed = new Uint8Array(0);
    let answers = 0;
    let awaitsAnswer = false;
    let isOver = false;
    const finish = () => {
      isOver = true;
      if (options.end === "reset") other.resetAndDestroy();
      else if (options.end === "eof") other.end();
    };
    cutSide.on("data", (data: Uint8Array) => {
      if (isOver) return;
      let part = data;
      if (!counts) {
        before += new TextDecoder("latin1").decode(part);
        const end = before.indexOf(options.behind!);
        if (end === -1) {
          other.write(part);
          return;
        }
        counts = true;
        const head = part.length - (before.length - end - options.behind!.length);
        other.write(part.subarray(0, head));
        part = part.subarray(head);
        if (part.length === 0) return;
      }
      if (answers < (options.afterAnswers ?? 0)) {
        other.write(part);
        awaitsAnswer = true;
        return;
      }
      const already = passed.length;
      const all = new Uint8Array(already + part.length);
      all.set(passed);
      all.set(part, already);
      passed = all;
      const limit = options.after === "hello"
        ? (all.length < 5 ? Infinity : 5 + (all[3]! << 8 | all[4]!))
        : options.after;
      const fits = all.subarray(already, Math.min(limit, all.length));
      if (all.length < limit) other.write(fits);
      // What goes before a reset has to be there first.
      else if (fits.length === 0) finish();
      else other.write(fits, () => setTimeout(finish, 50));
      if (all.length >= limit) isOver = true;
    });
    other.on("data", (data) => {
      if (awaitsAnswer) answers++;
      awaitsAnswer = false;
      cutSide.write(data);
    });
    other.on("close", () => cutSide.destroy());
    cutSide.on("close", () => {
      if (!isOver) other.destroy();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  return {
    port: (server.address() as net.AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
