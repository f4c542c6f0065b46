/**
 * Gives an accepted connection the shared read buffer. Only a socket that is made with `onread` reads
 * into memory of ours, and the runtime's server makes its sockets without; so the connection moves
 * from the server's socket to one of our own. Otherwise an upload costs a fresh 64 KiB per read: half
 * the speed, and hundreds of megabytes of garbage.
 *
 * The handle that moves is not a documented property. Where it is missing the server's socket is used
 * as it is, which is slower and otherwise the same.
 */
import net from "node:net";
import { readBuffer } from "./read_buffer.ts";

interface WithHandle {
  _handle: object | null;
}

/** `socket` was accepted by a server with `pauseOnConnect`: nothing has been read yet. */
export function withReadBuffer(socket: net.Socket, onData: (data: Uint8Array) => void): net.Socket {
  const accepted = socket as unknown as WithHandle;
  const handle = accepted._handle;
  if (handle === null || typeof handle !== "object") {
    socket.on("data", onData);
    return socket;
  }
  accepted._handle = null;
  return new net.Socket(
    {
      handle,
      allowHalfOpen: true,
      onread: {
        buffer: readBuffer,
        callback: (bytes: number, buffer: Uint8Array) => {
          onData(buffer.subarray(0, bytes));
          return true;
        },
      },
    } as unknown as net.SocketConstructorOpts,
  );
}
