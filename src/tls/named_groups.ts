/** Key agreement groups of TLS by their codes (IANA "TLS Supported Groups"). */

const NAMES: ReadonlyMap<number, string> = new Map([
  [0x0017, "secp256r1"],
  [0x0018, "secp384r1"],
  [0x0019, "secp521r1"],
  [0x001d, "x25519"],
  [0x001e, "x448"],
  [0x0100, "ffdhe2048"],
  [0x0101, "ffdhe3072"],
  [0x0102, "ffdhe4096"],
  [0x0103, "ffdhe6144"],
  [0x0104, "ffdhe8192"],
  [0x0200, "MLKEM512"],
  [0x0201, "MLKEM768"],
  [0x0202, "MLKEM1024"],
  [0x11eb, "SecP256r1MLKEM768"],
  [0x11ec, "X25519MLKEM768"],
  [0x11ed, "SecP384r1MLKEM1024"],
  [0x6399, "X25519Kyber768Draft00"],
]);

/** As IANA has it, else `0x4138`. */
export function groupName(code: number): string {
  return NAMES.get(code) ?? hexCode(code);
}

/** A two-byte code as IANA's tables write it: `0x1301`. */
export function hexCode(code: number): string {
  return `0x${code.toString(16).padStart(4, "0")}`;
}
