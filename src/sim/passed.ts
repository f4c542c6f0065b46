/** What passed a flow of CONNECT, without what belongs to CONNECT and TLS themselves. */
import { join, textOf } from "./bytes.ts";
import type { SimFlow } from "./world.ts";

export interface Passed {
  readonly fromClient: Uint8Array;
  readonly toServer: Uint8Array;
  readonly fromServer: Uint8Array;
  readonly toClient: Uint8Array;
}

const ESTABLISHED_BYTES = "HTTP/1.1 200 Connection Established\r\n\r\n".length;

/** Null where there is nothing to compare: no CONNECT, no server, or only one side of TLS. */
export function passedBytes({ client, servers }: SimFlow): Passed | null {
  const [server] = servers;
  const said = join(...client.raw.receivedParts);
  // Plain requests are rewritten; their servers compare them with the plan.
  if (servers.length !== 1 || server === undefined || textOf(said.subarray(0, 8)) !== "CONNECT ") return null;
  const isSecured = client.tls !== null && server.tls !== null;
  if (!isSecured && (client.isTls || server.isTls)) return null;
  const clientLayer = isSecured ? client.tls! : client.raw;
  const serverLayer = isSecured ? server.tls! : server.raw;
  return {
    fromClient: join(...clientLayer.receivedParts).subarray(isSecured ? 0 : indexAfterHead(said)),
    toServer: join(...serverLayer.writtenParts),
    fromServer: join(...serverLayer.receivedParts),
    toClient: join(...clientLayer.writtenParts).subarray(isSecured ? 0 : ESTABLISHED_BYTES),
  };
}

function indexAfterHead(bytes: Uint8Array): number {
  for (let index = 0; index + 3 < bytes.length; index++) {
    if (
      bytes[index] === 13 && bytes[index + 1] === 10 && bytes[index + 2] === 13 && bytes[index + 3] === 10
    ) {
      return index + 4;
    }
  }
  return bytes.length;
}
