import { assertEquals } from "@std/assert";
import { formatListenAddress, isLoopback, parseListenAddress } from "../../src/runtime/config/address.ts";

Deno.test("parseListenAddress reads host:port, [v6]:port and unix:/path, and formats them back", () => {
  for (
    const text of [
      "127.0.0.1:0",
      "0.0.0.0:65535",
      "[::]:1",
      "[fe80::1]:443",
      "localhost:80",
      "a-b.c_d:1",
      "unix:/x y",
    ]
  ) {
    const address = parseListenAddress(text);
    if (address.type === "error") throw new Error(`${text}: ${address.detail}`);
    assertEquals(formatListenAddress(address), text);
  }
});

Deno.test("parseListenAddress says what is wrong with an address", () => {
  const cases: [string, string][] = [
    ["", "it has no port"],
    ["8080", "it has no port"],
    ["localhost", "it has no port"],
    [":8080", "it has no host (0.0.0.0 is every interface)"],
    ["localhost:", "the port is not a number from 0 to 65535"],
    ["localhost:65536", "the port is not a number from 0 to 65535"],
    ["localhost:1e3", "the port is not a number from 0 to 65535"],
    ["localhost: 80", "the port is not a number from 0 to 65535"],
    ["::1:80", "an IPv6 address needs brackets"],
    ["[::1]", "the port is not a number from 0 to 65535"],
    ["[127.0.0.1]:80", "the brackets hold no IPv6 address"],
    ["[::g]:80", "the brackets hold no IPv6 address"],
    ["1.2.3:80", "the host is not a name"],
    ["256.1.1.1:80", "the host is not a name"],
    ["a..b:80", "the host is not a name"],
    ["user@host:80", "the host is not a name"],
    ["http://host:80", "an IPv6 address needs brackets"],
    [`${"a".repeat(64)}:80`, "the host is not a name"],
    ["unix:", "it names no path"],
    ["unix:a\0b", "it names no path"],
  ];
  for (const [text, detail] of cases) assertEquals(parseListenAddress(text), { type: "error", detail }, text);
});

Deno.test("isLoopback is true of what only this machine reaches", () => {
  const loopback = (text: string) => {
    const address = parseListenAddress(text);
    return address.type !== "error" && isLoopback(address);
  };
  for (const text of ["127.0.0.1:1", "127.255.0.9:1", "[::1]:1", "localhost:1", "unix:/x"]) {
    assertEquals(loopback(text), true, text);
  }
  for (const text of ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "127.example:1", "host:1"]) {
    assertEquals(loopback(text), false, text);
  }
});
