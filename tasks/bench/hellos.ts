/** ClientHellos as long and as varied as those of today's clients, post-quantum key share included. */
import {
  alpn,
  clientHello,
  codes16,
  serverName,
  supportedVersions,
  uint16,
  vector16,
  vector8,
} from "../../tests/tls/hello_builder.ts";

type Extension = readonly [type: number, content: number[]];

/** An X25519MLKEM768 share: an encapsulation key of 1,184 bytes and an X25519 value (draft-ietf-tls-ecdhe-mlkem). */
const HYBRID_SHARE = [...uint16(0x11ec), ...vector16(filler(1184 + 32))];
const X25519_SHARE = [...uint16(0x001d), ...vector16(filler(32))];
const SIGNATURES = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];

/** GREASE at every place, ALPS, ECH with a payload: about 1.8 KB. */
export function chromiumLikeHello(host: string): Uint8Array {
  return clientHello({
    sessionId: filler(32),
    cipherSuites: [
      ...[0x2a2a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030],
      ...[0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035],
    ],
    extensions: [
      [0x3a3a, []],
      [0x001b, [2, 0, 2]],
      codes16(13, SIGNATURES),
      [0x002d, [1, 1]],
      serverName(host),
      [0xfe0d, [0, 0, 1, 0, 1, 7, ...vector16(filler(32)), ...vector16(filler(176))]],
      supportedVersions(0x4a4a, 0x0304, 0x0303),
      [0x0023, []],
      [0x0012, []],
      codes16(10, [0x5a5a, 0x11ec, 0x001d, 0x0017, 0x0018]),
      [0x0005, [1, 0, 0, 0, 0]],
      [0x0017, []],
      [51, vector16([...uint16(0x5a5a), ...vector16([0]), ...HYBRID_SHARE, ...X25519_SHARE])],
      [11, vector8([0])],
      [0x44cd, vector16([2, 0x68, 0x32])],
      alpn("h2", "http/1.1"),
      [0xff01, [0]],
      [0x6a6a, [0]],
    ],
  });
}

/** Of curl with OpenSSL 3.5: thirty ciphers, eleven groups, about 1.5 KB. */
export function curlLikeHello(host: string): Uint8Array {
  const extensions: readonly Extension[] = [
    [0xff01, [0]],
    serverName(host),
    [11, vector8([0, 1, 2])],
    codes16(10, [0x11ec, 0x001d, 0x0017, 0x001e, 0x0018, 0x0019, 0x0100, 0x0101, 0x0102, 0x0103, 0x0104]),
    [0x0023, []],
    alpn("h2", "http/1.1"),
    [0x0016, []],
    [0x0017, []],
    [0x0031, []],
    codes16(13, [
      ...[0x0905, 0x0906, 0x0904, ...SIGNATURES, 0x0603, 0x0807, 0x0808, 0x081a, 0x081b, 0x081c],
      ...[0x0809, 0x080a, 0x080b, 0x0303, 0x0301, 0x0302, 0x0402, 0x0502, 0x0602],
    ]),
    supportedVersions(0x0304, 0x0303),
    [0x002d, [1, 1]],
    [51, vector16([...HYBRID_SHARE, ...X25519_SHARE])],
  ];
  return clientHello({
    sessionId: filler(32),
    cipherSuites: [
      ...[0x1302, 0x1303, 0x1301, 0xc02c, 0xc030, 0x009f, 0xcca9, 0xcca8, 0xccaa, 0xc02b],
      ...[0xc02f, 0x009e, 0xc024, 0xc028, 0x006b, 0xc023, 0xc027, 0x0067, 0xc00a, 0xc014],
      ...[0x0039, 0xc009, 0xc013, 0x0033, 0x009d, 0x009c, 0x003d, 0x003c, 0x0035, 0x002f],
    ],
    extensions,
  });
}

function filler(length: number): number[] {
  return Array.from({ length }, (_, at) => at * 37 & 0xff);
}
