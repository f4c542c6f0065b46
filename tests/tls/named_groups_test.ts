import { assertEquals } from "@std/assert";
import { groupName, hexCode } from "../../src/tls/named_groups.ts";

Deno.test("groupName gives IANA's name, or the code of a group without one", () => {
  assertEquals([0x001d, 0x11ec, 0x4138, 7].map(groupName), ["x25519", "X25519MLKEM768", "0x4138", "0x0007"]);
});

Deno.test("hexCode writes a code as IANA's tables do", () => {
  assertEquals([0x1301, 5].map(hexCode), ["0x1301", "0x0005"]);
});
