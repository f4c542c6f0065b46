import { assertEquals } from "@std/assert";
import { join, ReadAhead } from "../../src/proxy/read_ahead.ts";

Deno.test("ReadAhead keeps copies of what each side has said, in order, until they are taken or dropped", () => {
  const ahead = new ReadAhead();
  const data = Uint8Array.of(1, 2);
  ahead.hold("client", data);
  data.fill(9);
  ahead.hold("client", Uint8Array.of(3));
  ahead.hold("server", Uint8Array.of(4));
  assertEquals([ahead.bytes, ahead.has("client"), ahead.has("server")], [4, true, true]);
  assertEquals(ahead.take("client"), Uint8Array.of(1, 2, 3));
  assertEquals([ahead.bytes, ahead.has("client")], [1, false]);
  ahead.drop();
  assertEquals([ahead.bytes, ahead.take("server").length], [0, 0]);
});

Deno.test("join gives both in order, and copies nothing where one is empty", () => {
  const [one, none] = [Uint8Array.of(1), new Uint8Array(0)];
  assertEquals(join(one, Uint8Array.of(2)), Uint8Array.of(1, 2));
  assertEquals([join(one, none) === one, join(none, one) === one], [true, true]);
});
