/**
 * One buffer that every dialled socket reads into. What is read is handled at once, and nearly always
 * the kernel takes what is written on the spot, so the same memory serves the next read: a download of
 * any size allocates nothing, and an idle flow owns no buffer. Whoever keeps a slice beyond the call
 * says so, and the next read gets fresh memory.
 */

/** Four times the runtime's own: fewer, larger reads are a fifth of a bulk transfer's cost, and there is only one. */
export const READ_BUFFER_BYTES = 256 * 1024;

let current = new Uint8Array(READ_BUFFER_BYTES);

export function readBuffer(): Uint8Array {
  return current;
}

/** `data` is kept beyond the read it came with. */
export function keepRead(data: Uint8Array): void {
  if (data.buffer === current.buffer) current = new Uint8Array(READ_BUFFER_BYTES);
}
