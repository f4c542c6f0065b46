import { assertEquals } from "@std/assert";
import {
  fieldValue,
  formPairs,
  harHeaders,
  queryOf,
  requestCookies,
  responseCookies,
} from "../../src/log/har_fields.ts";

Deno.test("cookies of a request are taken apart, but not where they were redacted", () => {
  assertEquals(requestCookies([["Cookie", "a=1; b==x;; c"], ["cookie", "d="], ["X", "e=1"]]), [
    { name: "a", value: "1" },
    { name: "b", value: "=x" },
    { name: "d", value: "" },
  ]);
  assertEquals(requestCookies([["Cookie", "[redacted 12 bytes]"]]), []);
});

Deno.test("cookies of a response have the attributes that HAR knows", () => {
  const line =
    "id=7; Path=/x; DOMAIN=a.test; Expires=soon; Expires=later; HttpOnly; Secure; SameSite=Lax; Max-Age=1";
  assertEquals(
    responseCookies(
      [["Set-Cookie", line], ["set-cookie", "broken"]],
      (date) => date === "later" ? "then" : null,
    ),
    [{
      name: "id",
      value: "7",
      path: "/x",
      domain: "a.test",
      expires: "then",
      httpOnly: true,
      secure: true,
      sameSite: "Lax",
    }],
  );
  assertEquals(responseCookies([["Set-Cookie", "[redacted 3 bytes]"]], () => null), []);
});

Deno.test("queries and forms are decoded where they are well-formed", () => {
  assertEquals(queryOf("https://a.test/?a=1&b=%C3%A9+x&c&&=d&e=%ff#f?g=1"), [
    { name: "a", value: "1" },
    { name: "b", value: "é x" },
    { name: "c", value: "" },
    { name: "", value: "d" },
    { name: "e", value: "%ff" },
  ]);
  assertEquals([queryOf("https://a.test/"), queryOf("/#?a=1")], [[], [{ name: "a", value: "1" }]]);
  assertEquals(formPairs("a=b=c"), [{ name: "a", value: "b=c" }]);
});

Deno.test("fields keep their order, and are found whatever their case", () => {
  assertEquals(harHeaders([["B", "1"], ["a", ""]]), [{ name: "B", value: "1" }, { name: "a", value: "" }]);
  assertEquals([fieldValue([["A", "1"], ["a", "2"]], "a"), fieldValue([], "a")], ["1", null]);
});
