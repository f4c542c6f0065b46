import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { exactInteger, parseExact } from "../../src/core/exact_json.ts";

const again = (text: string) => JSON.stringify(parseExact(text));

Deno.test("parseExact keeps the digits of numbers that a double cannot say", () => {
  for (
    const text of [
      "12345678901234567890",
      "9007199254740993",
      "-9223372036854775808",
      "0.1000000000000000000001",
      "1e400",
      "-1E400",
      "1e-400",
      "-0",
      "-0.0",
      "-0e0",
      "1.00000000000000000001",
      '[{"a":123456789012345678901234567890}]',
      '{"name":"of 1 to 9","of":[1,2.5,-0]}',
      '{"a":"x","b":[1,1e999]}',
      "[1.234567890123456789]",
    ]
  ) assertEquals(again(text), text);
});

Deno.test("parseExact gives numbers that a double can say as numbers, however they are written", () => {
  for (
    const [text, value] of [
      ["1.0", 1],
      ["1e2", 100],
      ["100000000000000000000000", 1e23],
      ["0.10", 0.1],
      ["1.5E-7", 1.5e-7],
      ["0e99", 0],
      ["-0.5", -0.5],
      ["9007199254740992", 2 ** 53],
      ["5e-324", 5e-324],
      ["1.7976931348623157e308", 1.7976931348623157e308],
    ] as const
  ) assertEquals(parseExact(text), value, text);
});

Deno.test("parseExact takes digits in strings for what they are", () => {
  const text = '{"id":"12345678901234567890","hash":"5e3","sum":"-0"}';
  assertEquals(parseExact(text), JSON.parse(text));
  assertEquals(Object.hasOwn(parseExact('{"__proto__":12345678901234567890}') as object, "__proto__"), true);
});

Deno.test("parseExact throws where JSON.parse does", () => {
  for (const text of ["", "01", "[12345678901234567890", "1e", "NaN"]) assertThrows(() => parseExact(text));
});

Deno.test("parseExact loses nothing: any number of digits comes back with its value", () => {
  const digits = fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 30 }).map((all) =>
    all.join("")
  );
  const whole = digits.map((text) => text.replace(/^0+(?=.)/, ""));
  fc.assert(fc.property(whole, digits, fc.integer({ min: -40, max: 40 }), (whole, fraction, exponent) => {
    const text = `${whole}.${fraction}e${exponent}`;
    assertEquals(scaled(again(text)), scaled(text));
  }));
});

/** A decimal number as a whole number, a hundred places to the left. */
function scaled(text: string): bigint {
  const [, whole, fraction = "", exponent = "0"] = /^(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text)!;
  return BigInt(whole! + fraction) * 10n ** BigInt(100 - fraction.length + Number(exponent));
}

Deno.test("exactInteger is a number as far as that is exact", () => {
  assertEquals(exactInteger(2n ** 53n - 1n), 2 ** 53 - 1);
  assertEquals(JSON.stringify(exactInteger(2n ** 53n)), "9007199254740992");
  assertEquals(JSON.stringify(exactInteger(-(2n ** 63n))), "-9223372036854775808");
});

Deno.test("parseExact keeps exponents of any length, in time that grows with it alone", () => {
  const digits = "9".repeat(1_000_000);
  for (const text of [`1e-${digits}`, `1e${digits}`, `0e-${digits}`, `1e-${"0".repeat(50)}7`]) {
    assertEquals(JSON.stringify(parseExact(`[${text}]`)), `[${text.startsWith("0") ? 0 : text}]`);
  }
});
