import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Field } from "../../../src/http/fields.ts";
import { parseMediaType } from "../../../src/http/media_type.ts";
import { callType, encodingNames, grpcType, methodOf, timeoutNs } from "../../../src/observe/grpc/call.ts";

Deno.test("grpcType knows the content types of gRPC and gRPC-Web and no others", () => {
  const cases: readonly [string, string | null][] = [
    ["application/grpc", "-"],
    ["Application/gRPC+Proto", "proto"],
    ["application/grpc+json; charset=utf-8", "json"],
    ["application/grpc;x=y", "-"],
    ["application/grpc-web", "- web"],
    ["application/grpc-web+proto", "proto web"],
    ["application/grpc-web-text", "- web text"],
    ["application/grpc-web-text+proto", "proto web text"],
    ["application/grpcx", null],
    ["application/grpc-webx", null],
    ["application/grpc+", null],
    ["text/grpc", null],
    ["application/json", null],
  ];
  for (const [value, expected] of cases) {
    const type = grpcType(parseMediaType(value));
    const shown = type && `${type.subtype ?? "-"}${type.web ? " web" : ""}${type.text ? " text" : ""}`;
    assertEquals(shown, expected, value);
  }
});

Deno.test("callType knows a call by its type, or by its path and te where it has none", () => {
  const call = (overrides: { method?: string; target?: string; fields?: readonly Field[] }) =>
    callType({
      method: "POST",
      target: "/a.B/c",
      scheme: "https",
      authority: "a.test",
      version: "HTTP/2",
      fields: [["te", "gzip, Trailers"]],
      headBytes: 1,
      ...overrides,
    }) !== null;
  assertEquals(call({}), true);
  assertEquals(call({ method: "GET" }), false);
  assertEquals(call({ method: "GET", fields: [["content-type", "application/grpc"]] }), false);
  assertEquals(call({ target: "/a.B/c.d" }), false);
  assertEquals(call({ target: "/a/b/c" }), false);
  assertEquals(call({ target: "/a b/c" }), false);
  assertEquals(call({ fields: [] }), false);
  assertEquals(call({ fields: [["te", "trailers"], ["content-type", "text/plain"]] }), false);
  assertEquals(call({ fields: [["Content-Type", "application/grpc"]], target: "/" }), true);
});

Deno.test("methodOf takes a target apart, whatever its form, and says null where it is none", () => {
  const cases: readonly [string, string | null, string | null][] = [
    ["/a.b.C/Do", "a.b.C", "Do"],
    ["/api/a.b.C/Do?x=/y", "api/a.b.C", "Do"],
    ["http://host:80/a.C/Do", "a.C", "Do"],
    ["http://host", null, null],
    ["/a.C/", null, null],
    ["//Do", null, null],
    ["/Do", null, null],
    ["*", null, null],
    ["host:443", null, null],
    ["", null, null],
  ];
  for (const [target, service, method] of cases) assertEquals(methodOf(target), { service, method }, target);
  fc.assert(fc.property(fc.string(), (target) => {
    const { service, method } = methodOf(target);
    if (method !== null) assertEquals(target.includes(`/${service}/${method}`), true);
  }));
});

Deno.test("timeoutNs reads every unit, and what is no timeout is null", () => {
  const cases: readonly [string, number | null][] = [
    ["1H", 3_600_000_000_000],
    ["2M", 120_000_000_000],
    ["3S", 3_000_000_000],
    ["4m", 4_000_000],
    ["5u", 5_000],
    ["6n", 6],
    ["0n", 0],
    ["99999999S", Number.MAX_SAFE_INTEGER],
    ["99999999H", Number.MAX_SAFE_INTEGER],
    ["100000000n", null],
    ["1", null],
    ["S", null],
    ["1s", null],
    ["-1S", null],
    ["1.5S", null],
    [" 1S", null],
    ["", null],
  ];
  for (const [value, expected] of cases) assertEquals(timeoutNs(value), expected, value);
});

Deno.test("encodingNames leaves identity out", () => {
  assertEquals(encodingNames([["grpc-encoding", "identity"]]), []);
  assertEquals(encodingNames([["Grpc-Encoding", "GZIP"]]), ["gzip"]);
});
