/** What the two baselines know of HTTP: the end of a CONNECT head and its authority, read crudely. */

export interface ConnectHead {
  readonly hostname: string;
  readonly port: number;
  /** What came after the head. */
  readonly rest: Uint8Array;
}

export const ESTABLISHED: Uint8Array<ArrayBuffer> = new TextEncoder().encode(
  "HTTP/1.1 200 Connection Established\r\n\r\n",
);

const decoder = new TextDecoder("latin1");

/** Null while the head is not whole. Throws for anything but a CONNECT: the baselines only serve the load. */
export function readConnectHead(data: Uint8Array): ConnectHead | null {
  const text = decoder.decode(data);
  const end = text.indexOf("\r\n\r\n");
  if (end === -1) return null;
  const match = /^CONNECT ([^: ]+):([0-9]+) /.exec(text);
  if (match === null) throw new Error(`Not a CONNECT to a host and port: ${text.slice(0, 80)}`);
  return { hostname: match[1]!, port: Number(match[2]), rest: data.subarray(end + 4) };
}
