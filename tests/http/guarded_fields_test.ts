import { assertEquals } from "@std/assert";
import { isGuarded } from "../../src/http/guarded_fields.ts";

Deno.test("isGuarded knows what says where a message ends, whose it is and what becomes of its connection", () => {
  const guarded = ["content-length", "Transfer-Encoding", "HOST", "Connection", "Upgrade", "TE", "trailer"];
  const others = ["content-type", "cookie", "x-content-length", "content-length ", "", "trailers"];
  assertEquals([...guarded, ...others].filter(isGuarded), guarded);
});
