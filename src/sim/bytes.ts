/** Bytes and text, octet for octet. */
import { joinBytes } from "../core/bytes.ts";

export function latin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes;
}

/** `TextDecoder` would take windows-1252 for latin-1. */
export function textOf(bytes: Uint8Array): string {
  let text = "";
  for (const octet of bytes) text += String.fromCharCode(octet);
  return text;
}

export function join(...parts: readonly Uint8Array[]): Uint8Array {
  return joinBytes(parts);
}

/** The stand-in for encryption, and for decryption. */
export function veil(data: Uint8Array): Uint8Array {
  const veiled = new Uint8Array(data.length);
  for (let index = 0; index < data.length; index++) veiled[index] = data[index]! ^ 0xa5;
  return veiled;
}
