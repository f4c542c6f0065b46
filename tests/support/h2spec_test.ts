import { assertEquals } from "@std/assert";
import { readVerdicts } from "./h2spec.ts";

Deno.test("readVerdicts takes a case without anything inside for passed, and any other for failed", () => {
  const xml =
    `<testsuite name="a"><testcase package="http2/6.1" classname="in &#34;open&#34;" time="1"></testcase>
    <testcase package="http2/6.2" classname="b" time="1"><failure>Expected: x
      Actual: &lt;y&gt;</failure></testcase>
    <testcase package="http2/6.3" classname="c" time="1"><failure></failure></testcase></testsuite>`;
  assertEquals([...readVerdicts(xml)], [
    ['http2/6.1 in "open"', ""],
    ["http2/6.2 b", "Expected: x Actual: <y>"],
    ["http2/6.3 c", "failed"],
  ]);
});
