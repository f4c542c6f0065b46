import { assertEquals } from "@std/assert";
import {
  ERROR_CODE_NAMES,
  errorCodeName,
  errorCodeNumber,
  HTTP2_ERROR_CODES,
  http2Error,
  isLimit,
} from "../../src/http2/errors.ts";

Deno.test("HTTP2_ERROR_CODES are snake_case and lead to an error of their own code", () => {
  for (const code of HTTP2_ERROR_CODES) {
    assertEquals(/^[a-z0-9]+(_[a-z0-9]+)*$/.test(code), true, code);
    const error = http2Error(code, "client", 1, "detail", 7);
    assertEquals([error.type, error.code, error.by, error.streamId, error.offset], [
      "error",
      code,
      "client",
      1,
      7,
    ]);
    assertEquals(/^RFC [0-9]{4} §[0-9.]+$/.test(error.rfc), true, error.rfc);
  }
});

Deno.test("http2Error gives a compression error the scope of the connection, always", () => {
  for (const code of HTTP2_ERROR_CODES) {
    const { errorCode, scope } = http2Error(code, "server", 1, "");
    if (errorCode === "COMPRESSION_ERROR") assertEquals(scope, "connection", code);
  }
});

Deno.test("http2Error makes an error on stream 0 a connection error", () => {
  assertEquals(http2Error("zero_window_increment", "client", 0, "").scope, "connection");
  assertEquals(http2Error("zero_window_increment", "client", 1, "").scope, "stream");
});

Deno.test("isLimit tells our limits from broken rules", () => {
  assertEquals(isLimit(http2Error("too_many_fields", "client", 1, "")), true);
  assertEquals(isLimit(http2Error("field_block_too_large", "client", 1, "")), true);
  assertEquals(isLimit(http2Error("frame_too_large", "client", 1, "")), false);
});

Deno.test("errorCodeNumber and errorCodeName follow RFC 9113 §7, unknown codes as numbers", () => {
  assertEquals(errorCodeNumber("NO_ERROR"), 0x0);
  assertEquals(errorCodeNumber("COMPRESSION_ERROR"), 0x9);
  assertEquals(errorCodeNumber("HTTP_1_1_REQUIRED"), 0xd);
  ERROR_CODE_NAMES.forEach((name, number) => assertEquals(errorCodeName(number), name));
  assertEquals(errorCodeName(0xe), "0xe");
  assertEquals(errorCodeName(0xffff_ffff), "0xffffffff");
});
