/** Builds ClientHello bytes for tests, field by field, well-formed or not. */

export interface HelloParts {
  legacyVersion?: number;
  sessionId?: number[];
  cipherSuites?: number[];
  /** Null: no extensions block at all. */
  extensions?: readonly (readonly [type: number, content: number[]])[] | null;
}

export function clientHelloMessage(parts: HelloParts = {}): Uint8Array {
  const body = [
    ...uint16(parts.legacyVersion ?? 0x0303),
    ...new Array<number>(32).fill(7),
    ...vector8(parts.sessionId ?? []),
    ...vector16((parts.cipherSuites ?? [0x1301]).flatMap(uint16)),
    ...vector8([0]),
  ];
  const extensions = parts.extensions === undefined ? [serverName("example.com")] : parts.extensions;
  if (extensions !== null) {
    body.push(...vector16(extensions.flatMap(([type, content]) => [...uint16(type), ...vector16(content)])));
  }
  return Uint8Array.from([1, body.length >> 16, body.length >> 8 & 0xff, body.length & 0xff, ...body]);
}

/** The message in records of at most `fragmentBytes` each. */
export function inRecords(message: Uint8Array, fragmentBytes = 16_384): Uint8Array {
  const bytes: number[] = [];
  for (let at = 0; at < message.length; at += fragmentBytes) {
    bytes.push(0x16, 0x03, 0x01, ...vector16([...message.subarray(at, at + fragmentBytes)]));
  }
  return Uint8Array.from(bytes);
}

export function clientHello(parts: HelloParts = {}): Uint8Array {
  return inRecords(clientHelloMessage(parts));
}

export function serverName(name: string): [number, number[]] {
  return [0, vector16([0, ...vector16(ascii(name))])];
}

export function alpn(...names: string[]): [number, number[]] {
  return [16, vector16(names.flatMap((name) => vector8(ascii(name))))];
}

export function codes16(type: number, codes: number[]): [number, number[]] {
  return [type, vector16(codes.flatMap(uint16))];
}

export function supportedVersions(...codes: number[]): [number, number[]] {
  return [43, vector8(codes.flatMap(uint16))];
}

export function uint16(value: number): number[] {
  return [value >> 8 & 0xff, value & 0xff];
}

export function vector8(content: readonly number[]): number[] {
  return [content.length & 0xff, ...content];
}

export function vector16(content: readonly number[]): number[] {
  return [...uint16(content.length), ...content];
}

export function ascii(text: string): number[] {
  return [...text].map((character) => character.charCodeAt(0) & 0xff);
}
