import { assertEquals } from "@std/assert";
import {
  decodeLatin1,
  encodeLatin1,
  HEX_VALUE,
  OCTET_CLASS,
  QUOTED_TEXT,
  TARGET,
  TEXT,
  TOKEN,
} from "../../src/http1/grammar.ts";

/** The octets of a class as a string. */
function octets(bit: number): string {
  let found = "";
  for (let octet = 0; octet < 256; octet++) {
    if ((OCTET_CLASS[octet]! & bit) !== 0) found += String.fromCharCode(octet);
  }
  return found;
}

const VISIBLE = Array.from({ length: 94 }, (_, index) => String.fromCharCode(index + 0x21)).join("");
const OBS_TEXT = Array.from({ length: 128 }, (_, index) => String.fromCharCode(index + 0x80)).join("");

Deno.test("OCTET_CLASS follows RFC 9110 §5.5 and §5.6", () => {
  assertEquals(
    octets(TOKEN),
    "!#$%&'*+-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ^_`abcdefghijklmnopqrstuvwxyz|~",
  );
  assertEquals(octets(TEXT), `\t ${VISIBLE}${OBS_TEXT}`);
  assertEquals(octets(TARGET), VISIBLE.replace("#", ""));
  assertEquals(octets(QUOTED_TEXT), `\t ${VISIBLE.replace('"', "").replace("\\", "")}${OBS_TEXT}`);
});

Deno.test("HEX_VALUE knows the digits in either case and nothing else", () => {
  for (let octet = 0; octet < 256; octet++) {
    const digit = /^[0-9a-fA-F]$/.test(String.fromCharCode(octet));
    assertEquals(HEX_VALUE[octet], digit ? parseInt(String.fromCharCode(octet), 16) : 255);
  }
});

Deno.test("decodeLatin1 and encodeLatin1 are inverse for every octet and any length", () => {
  const all = Uint8Array.from({ length: 256 }, (_, index) => index);
  assertEquals(decodeLatin1(all), Array.from(all, (octet) => String.fromCharCode(octet)).join(""));
  for (const length of [0, 1, 8191, 8192, 8193, 70000]) {
    const bytes = Uint8Array.from({ length }, (_, index) => index % 251);
    assertEquals(encodeLatin1(decodeLatin1(bytes)), bytes);
  }
});

Deno.test("decodeLatin1 does not take octets for UTF-8 or windows-1252", () => {
  assertEquals(decodeLatin1(Uint8Array.of(0xef, 0xbb, 0xbf, 0x80, 0xc3, 0xa9)), "\xef\xbb\xbf\x80\xc3\xa9");
});
