/**
 * Reads a TLS ClientHello from the first bytes of a connection without consuming them
 * (RFC 8446 §4.1.2 and §5.1; RFC 5246 §7.4.1.2 for older clients).
 *
 * The reader observes, it does not judge: whether a hello is acceptable is for the TLS stack that gets
 * the bytes afterwards. So only what makes the message unreadable is `malformed`; an extension with a
 * broken body counts as empty. GREASE values (RFC 8701) are dropped everywhere: they mean nothing and
 * differ at each connection.
 */
import { hexCode } from "./named_groups.ts";

/** What a client offers. Lists keep the order of the wire. */
export interface ClientHello {
  /** Lower-case, without trailing dot. Null if absent, malformed, or an IP address (RFC 6066 §3 has no such names). */
  readonly sni: string | null;
  /** A server_name extension is there but holds no usable name: TLS stacks refuse such a hello. */
  readonly sniMalformed: boolean;
  /** Protocol names as latin-1. */
  readonly alpn: readonly string[];
  /** `TLSv1.3`, `TLSv1.2` …; a code without a name as `0x7f1c`. From supported_versions, else legacy_version. */
  readonly versions: readonly string[];
  /** The codes behind `versions` in supported_versions; null without that extension. */
  readonly supportedVersions: readonly number[] | null;
  readonly cipherSuites: readonly number[];
  readonly extensions: readonly number[];
  readonly groups: readonly number[];
  readonly keyShareGroups: readonly number[];
  readonly pointFormats: readonly number[];
  readonly signatureAlgorithms: readonly number[];
  /** A post-quantum key agreement, alone or hybrid, is among the groups. */
  readonly pqOffered: boolean;
  /** An encrypted_client_hello extension is there (real or GREASE: nobody but the server can tell). */
  readonly echOffered: boolean;
  readonly legacyVersion: number;
}

export type ClientHelloResult =
  | { readonly type: "more" }
  | { readonly type: "hello"; readonly hello: ClientHello }
  | { readonly type: "not_tls" }
  | { readonly type: "malformed"; readonly detail: string };

/** A hello whose last record ends beyond this many bytes is refused. Real ones, post-quantum included, stay below 4 KiB. */
export const CLIENT_HELLO_BYTES_MAX = 64 * 1024;

const RECORD_HEADER_BYTES = 5;
const HANDSHAKE_HEADER_BYTES = 4;
/** RFC 8446 §5.1: a plaintext fragment holds at most 2^14 bytes. */
const FRAGMENT_BYTES_MAX = 16_384;

const MORE: ClientHelloResult = { type: "more" };
const NOT_TLS: ClientHelloResult = { type: "not_tls" };
const TOO_LONG: ClientHelloResult = malformed("the ClientHello is longer than 64 KiB");

/**
 * Takes bytes as they come, in whatever pieces. `not_tls` is said at the first byte that cannot belong
 * to a record with a ClientHello; each byte is looked at a bounded number of times. Once settled, the
 * answer stays and more bytes are merely kept.
 */
export class ClientHelloReader {
  #buffer = new Uint8Array(0);
  #length = 0;
  /** Where the record that is not whole yet begins. */
  #recordStart = 0;
  /** What the whole records so far carried: the handshake message, as far as it is there. */
  #message = new Uint8Array(0);
  #messageLength = 0;
  #result: ClientHelloResult = MORE;

  push(data: Uint8Array): ClientHelloResult {
    this.#buffer = withAppended(this.#buffer, this.#length, data);
    this.#length += data.length;
    if (this.#result.type === "more") this.#result = this.#scan();
    return this.#result;
  }

  /** Everything pushed so far, for giving back. */
  get bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #scan(): ClientHelloResult {
    for (;;) {
      const start = this.#recordStart;
      const available = this.#length - start;
      const first = start === 0;
      if (!couldBeHandshakeRecord(this.#buffer, start, available)) {
        return first ? NOT_TLS : malformed("a record inside the ClientHello is not a handshake record");
      }
      // The type of the first message is known with its first byte, before the record is whole.
      if (first && available > RECORD_HEADER_BYTES && this.#buffer[RECORD_HEADER_BYTES] !== 0x01) {
        return NOT_TLS;
      }
      if (available < RECORD_HEADER_BYTES) return MORE;
      const fragmentStart = start + RECORD_HEADER_BYTES;
      const end = fragmentStart + readUint16(this.#buffer, start + 3);
      // Both limits follow from headers alone, so the answer is the same however the bytes were cut.
      if (end > CLIENT_HELLO_BYTES_MAX) return TOO_LONG;
      if (end > this.#length) return MORE;
      this.#recordStart = end;
      this.#gather(this.#buffer.subarray(fragmentStart, end));
      if (this.#messageLength < HANDSHAKE_HEADER_BYTES) continue;
      const message = this.#message;
      const messageEnd = HANDSHAKE_HEADER_BYTES + ((message[1]! << 16) | readUint16(message, 2));
      if (messageEnd > CLIENT_HELLO_BYTES_MAX) return TOO_LONG;
      if (messageEnd > this.#messageLength) continue;
      return parseClientHello(message.subarray(HANDSHAKE_HEADER_BYTES, messageEnd));
    }
  }

  /** The usual hello is one record: it is read where it lies, without a copy. */
  #gather(fragment: Uint8Array<ArrayBuffer>): void {
    this.#message = this.#messageLength === 0
      ? fragment
      : withAppended(this.#message, this.#messageLength, fragment);
    this.#messageLength += fragment.length;
  }
}

/** `data` behind the first `length` bytes of `buffer`, which is replaced by one of twice the size when it is too small. */
function withAppended(
  buffer: Uint8Array<ArrayBuffer>,
  length: number,
  data: Uint8Array,
): Uint8Array<ArrayBuffer> {
  let target = buffer;
  if (length + data.length > buffer.length) {
    target = new Uint8Array(Math.max(length + data.length, buffer.length * 2, 1024));
    target.set(buffer.subarray(0, length));
  }
  target.set(data, length);
  return target;
}

/** Record header: type handshake (22), version 3.0 to 3.4, length 1 to 2^14 (RFC 8446 §5.1 forbids empty fragments). */
function couldBeHandshakeRecord(bytes: Uint8Array, start: number, available: number): boolean {
  if (available > 0 && bytes[start] !== 0x16) return false;
  if (available > 1 && bytes[start + 1] !== 0x03) return false;
  if (available > 2 && bytes[start + 2]! > 0x04) return false;
  if (available > 3 && bytes[start + 3]! > FRAGMENT_BYTES_MAX >> 8) return false;
  if (available > 4) {
    const length = readUint16(bytes, start + 3);
    if (length === 0 || length > FRAGMENT_BYTES_MAX) return false;
  }
  return true;
}

/** `body` is the ClientHello without its handshake header. */
function parseClientHello(body: Uint8Array): ClientHelloResult {
  const cursor = new Cursor(body);
  const legacyVersion = cursor.uint16();
  const random = cursor.take(32);
  const sessionId = cursor.vector8();
  const cipherSuites = cursor.vector16();
  const compressionMethods = cursor.vector8();
  if (
    legacyVersion === null || random === null || sessionId === null || cipherSuites === null ||
    compressionMethods === null
  ) {
    return malformed("the ClientHello ends before its compression methods");
  }
  if (sessionId.length > 32) return malformed("the session id is longer than 32 bytes");
  if (cipherSuites.length % 2 !== 0) return malformed("the cipher suites are not whole");

  const offer = new Offer();
  // Clients before TLS 1.3 may leave the extensions away altogether (RFC 5246 §7.4.1.2).
  if (!cursor.atEnd) {
    const extensions = cursor.vector16();
    if (extensions === null || !cursor.atEnd) {
      return malformed("the extensions do not end where the ClientHello does");
    }
    const list = new Cursor(extensions);
    while (!list.atEnd) {
      const type = list.uint16();
      const content = list.vector16();
      if (type === null || content === null) return malformed("an extension is longer than the extensions");
      offer.add(type, content);
    }
  }
  const codes = offer.supportedVersions ?? [legacyVersion];
  return {
    type: "hello",
    hello: {
      sni: offer.sni,
      sniMalformed: offer.sniMalformed,
      alpn: offer.alpn,
      versions: codes.map(versionName),
      supportedVersions: offer.supportedVersions,
      cipherSuites: meaningfulCodes(cipherSuites),
      extensions: offer.extensions,
      groups: offer.groups,
      keyShareGroups: offer.keyShareGroups,
      pointFormats: offer.pointFormats,
      signatureAlgorithms: offer.signatureAlgorithms,
      pqOffered: offer.groups.some((group) => POST_QUANTUM_GROUPS.has(group)),
      echOffered: offer.echOffered,
      legacyVersion,
    },
  };
}

/** The extensions that are looked into, by their IANA codes. A repeated one counts the first time only. */
class Offer {
  sni: string | null = null;
  sniMalformed = false;
  alpn: string[] = [];
  supportedVersions: number[] | null = null;
  extensions: number[] = [];
  groups: number[] = [];
  keyShareGroups: number[] = [];
  pointFormats: number[] = [];
  signatureAlgorithms: number[] = [];
  echOffered = false;
  #seen = new Set<number>();

  add(type: number, content: Uint8Array): void {
    if (isGrease(type)) return;
    this.extensions.push(type);
    if (this.#seen.has(type)) {
      // Two different names would let policy and server see different ones.
      if (type === EXTENSION.serverName) {
        this.sni = null;
        this.sniMalformed = true;
      }
      return;
    }
    this.#seen.add(type);
    switch (type) {
      case EXTENSION.serverName:
        this.#addServerName(content);
        break;
      case EXTENSION.supportedGroups:
        this.groups = codesOf(new Cursor(content).onlyVector16());
        break;
      case EXTENSION.pointFormats:
        this.pointFormats = [...new Cursor(content).onlyVector8() ?? []];
        break;
      case EXTENSION.signatureAlgorithms:
        this.signatureAlgorithms = codesOf(new Cursor(content).onlyVector16());
        break;
      case EXTENSION.alpn:
        this.alpn = protocolNames(new Cursor(content).onlyVector16());
        break;
      case EXTENSION.supportedVersions:
        this.supportedVersions = codesOf(new Cursor(content).onlyVector8());
        break;
      case EXTENSION.keyShare:
        this.keyShareGroups = keyShareGroups(new Cursor(content).onlyVector16());
        break;
      case EXTENSION.encryptedClientHello:
        this.echOffered = true;
        break;
    }
  }

  /** RFC 6066 §3: a list of names, at most one of each type; type 0 is the host name, no other was ever defined. */
  #addServerName(content: Uint8Array): void {
    const entries = new Cursor(content).onlyVector16();
    const list = new Cursor(entries ?? new Uint8Array(0));
    const type = list.take(1);
    const name = list.vector16();
    if (type === null || type[0] !== 0 || name === null || !list.atEnd) {
      this.sniMalformed = true;
      return;
    }
    const text = latin1(name).toLowerCase();
    // An address is no host name, yet clients do send one and stacks ignore it; so do we.
    if (isAddressLiteral(text)) return;
    const host = text.endsWith(".") ? text.slice(0, -1) : text;
    if (isHostName(host)) this.sni = host;
    else this.sniMalformed = true;
  }
}

const EXTENSION = {
  serverName: 0,
  supportedGroups: 10,
  pointFormats: 11,
  signatureAlgorithms: 13,
  alpn: 16,
  supportedVersions: 43,
  keyShare: 51,
  encryptedClientHello: 0xfe0d,
} as const;

/** IANA "TLS Supported Groups" with ML-KEM, and the experiments before it that are still met. */
const POST_QUANTUM_GROUPS: ReadonlySet<number> = new Set([
  0x0200, // MLKEM512
  0x0201, // MLKEM768
  0x0202, // MLKEM1024
  0x11eb, // SecP256r1MLKEM768
  0x11ec, // X25519MLKEM768
  0x11ed, // SecP384r1MLKEM1024
  0x11ee, // curveSM2MLKEM768
  0x4138, // CECPQ2
  0x6399, // X25519Kyber768Draft00
  0x639a, // SecP256r1Kyber768Draft00
  0xfe30, // X25519Kyber512Draft00
  0xfe31, // X25519Kyber768Draft00, first code
  0xfe32, // P256Kyber768Draft00
]);

/** RFC 8701 §2: both bytes equal, low half of each 0xA. */
function isGrease(code: number): boolean {
  return (code & 0x0f0f) === 0x0a0a && code >> 8 === (code & 0xff);
}

function versionName(code: number): string {
  switch (code) {
    case 0x0304:
      return "TLSv1.3";
    case 0x0303:
      return "TLSv1.2";
    case 0x0302:
      return "TLSv1.1";
    case 0x0301:
      return "TLSv1";
    case 0x0300:
      return "SSLv3";
    default:
      return hexCode(code);
  }
}

function codesOf(content: Uint8Array | null): number[] {
  return content === null || content.length % 2 !== 0 ? [] : meaningfulCodes(content);
}

function meaningfulCodes(content: Uint8Array): number[] {
  const codes: number[] = [];
  for (let at = 0; at + 1 < content.length; at += 2) {
    const code = readUint16(content, at);
    if (!isGrease(code)) codes.push(code);
  }
  return codes;
}

/** RFC 7301 §3.1. GREASE names are the two bytes of a GREASE code (RFC 8701 §2). */
function protocolNames(content: Uint8Array | null): string[] {
  const names: string[] = [];
  const cursor = new Cursor(content ?? new Uint8Array(0));
  while (!cursor.atEnd) {
    const name = cursor.vector8();
    if (name === null) return [];
    if (name.length === 2 && isGrease(readUint16(name, 0))) continue;
    names.push(latin1(name));
  }
  return names;
}

function keyShareGroups(content: Uint8Array | null): number[] {
  const groups: number[] = [];
  const cursor = new Cursor(content ?? new Uint8Array(0));
  while (!cursor.atEnd) {
    const group = cursor.uint16();
    if (group === null || cursor.vector16() === null) return [];
    if (!isGrease(group)) groups.push(group);
  }
  return groups;
}

/** Letters, digits, hyphen and (met in practice) underscore; RFC 1035 §2.3.4 sizes. The last label has a letter. */
function isHostName(text: string): boolean {
  if (text.length === 0 || text.length > 253) return false;
  const labels = text.split(".");
  if (!labels.every((label) => /^[a-z0-9_-]{1,63}$/.test(label))) return false;
  return !labels.some((label) => label.startsWith("-") || label.endsWith("-")) &&
    !/^[0-9]+$/.test(labels[labels.length - 1]!);
}

function isAddressLiteral(text: string): boolean {
  return /^[0-9]{1,3}(?:\.[0-9]{1,3}){3}$/.test(text) || /^[0-9a-f.]*:[0-9a-f.]*:[0-9a-f:.]*$/.test(text);
}

/** A read position in bytes; every step that would pass the end gives null and moves nothing. */
class Cursor {
  #at = 0;
  constructor(readonly bytes: Uint8Array) {}

  get atEnd(): boolean {
    return this.#at === this.bytes.length;
  }

  take(count: number): Uint8Array | null {
    if (this.#at + count > this.bytes.length) return null;
    const taken = this.bytes.subarray(this.#at, this.#at + count);
    this.#at += count;
    return taken;
  }

  uint16(): number | null {
    const taken = this.take(2);
    return taken === null ? null : readUint16(taken, 0);
  }

  vector8(): Uint8Array | null {
    return this.#vector(1);
  }

  vector16(): Uint8Array | null {
    return this.#vector(2);
  }

  /** The vector, if it fills what is left. */
  onlyVector8(): Uint8Array | null {
    const content = this.#vector(1);
    return this.atEnd ? content : null;
  }

  onlyVector16(): Uint8Array | null {
    const content = this.#vector(2);
    return this.atEnd ? content : null;
  }

  #vector(lengthBytes: 1 | 2): Uint8Array | null {
    const start = this.#at;
    const prefix = this.take(lengthBytes);
    if (prefix === null) return null;
    const content = this.take(lengthBytes === 1 ? prefix[0]! : readUint16(prefix, 0));
    if (content === null) this.#at = start;
    return content;
  }
}

function malformed(detail: string): ClientHelloResult {
  return { type: "malformed", detail };
}

function readUint16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

function latin1(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}
