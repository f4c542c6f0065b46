import { assertEquals } from "@std/assert";
import { type HelloConditions, helloFault, HelloFilter } from "../../src/policy/hello.ts";

const HELLO = {
  sni: "www.a.example",
  alpn: ["h2", "http/1.1"],
  ja4: "t13d1516h2_8daaf6152771_e5627efa2ab1",
  connectHost: "a.example",
};

Deno.test("HelloFilter matches where each of its conditions does", () => {
  const cases: readonly (readonly [HelloConditions, boolean])[] = [
    [{ sni: ["*.a.example"] }, true],
    [{ sni: ["b.example", "WWW.a.example."] }, true],
    [{ sni: ["b.example"] }, false],
    [{ ja4: [HELLO.ja4] }, true],
    [{ ja4: ["t13d15*"] }, true],
    [{ ja4: ["t12*", `${HELLO.ja4.slice(0, -1)}2`] }, false],
    [{ alpn: ["http/1.1"] }, true],
    [{ alpn: ["h3"] }, false],
    [{ sni: ["*"], ja4: ["t*"], alpn: ["h2"] }, true],
    [{ sni: ["*"], ja4: ["t*"], alpn: ["h3"] }, false],
  ];
  for (const [conditions, expected] of cases) {
    assertEquals(HelloFilter.of(conditions)!.matches(HELLO), expected, JSON.stringify(conditions));
  }
  assertEquals(HelloFilter.of({}), null);
  // A hello without a name is matched by no pattern, not even by the one for all.
  assertEquals(HelloFilter.of({ sni: ["*"] })!.matches({ ...HELLO, sni: null }), false);
});

Deno.test("helloFault says what a condition may be", () => {
  assertEquals(helloFault("sni", "*.example"), null);
  assertEquals(helloFault("ja4", HELLO.ja4), null);
  assertEquals(helloFault("alpn", "http/1.1"), null);
  for (
    const [name, text] of [
      ["sni", "a.example:443"],
      ["sni", "192.0.2.1"],
      ["sni", "192.0.2.*"],
      ["sni", "a b"],
      ["ja4", "t13d1516h2"],
      ["ja4", "*"],
      ["alpn", ""],
      ["alpn", "h\n2"],
    ] as const
  ) assertEquals(typeof helloFault(name, text), "string", text);
});
