/** A ClientHello as a current client sends it (RFC 8446 §4.1.2), so that the real reader has a real one to read. */
import type { Random } from "./random.ts";

export interface HelloOptions {
  /** Null: no server_name extension. */
  readonly sni: string | null;
  readonly alpn: readonly string[];
  /** The message is cut into records of at most so many bytes. */
  readonly recordBytesMax?: number;
}

export function clientHello(options: HelloOptions, random: Random): Uint8Array {
  const extensions: number[][] = [
    extension(GREASE, []),
    ...(options.sni === null ? [] : [extension(0, vector16([0, ...vector16(ascii(options.sni))]))]),
    extension(23, []),
    extension(10, vector16([...uint16(GREASE), 0x11, 0xec, 0x00, 0x1d, 0x00, 0x17])),
    extension(11, vector8([0])),
    ...(options.alpn.length === 0
      ? []
      : [extension(16, vector16(options.alpn.flatMap((name) => vector8(ascii(name)))))]),
    extension(13, vector16([0x04, 0x03, 0x08, 0x04, 0x04, 0x01])),
    extension(51, vector16([0x00, 0x1d, ...vector16([...random.bytes(32)])])),
    extension(43, vector8([0x03, 0x04, 0x03, 0x03])),
    extension(21, new Array<number>(random.between(0, 200)).fill(0)),
  ];
  const body = [
    0x03,
    0x03,
    ...random.bytes(32),
    ...vector8([...random.bytes(32)]),
    ...vector16([...uint16(GREASE), 0x13, 0x01, 0x13, 0x02, 0xc0, 0x2b, 0xc0, 0x2f]),
    ...vector8([0]),
    ...vector16(extensions.flat()),
  ];
  return inRecords([1, 0, ...vector16(body)], options.recordBytesMax ?? 16_384);
}

/** RFC 8701. */
const GREASE = 0x3a3a;

function inRecords(message: readonly number[], recordBytesMax: number): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < message.length; at += recordBytesMax) {
    bytes.push(0x16, 0x03, 0x01, ...vector16(message.slice(at, at + recordBytesMax)));
  }
  return Uint8Array.from(bytes);
}

function extension(type: number, content: readonly number[]): number[] {
  return [...uint16(type), ...vector16(content)];
}

function uint16(value: number): number[] {
  return [value >> 8, value & 0xff];
}

function vector8(content: readonly number[]): number[] {
  return [content.length, ...content];
}

function vector16(content: readonly number[]): number[] {
  return [...uint16(content.length), ...content];
}

function ascii(text: string): number[] {
  return [...text].map((character) => character.charCodeAt(0));
}
