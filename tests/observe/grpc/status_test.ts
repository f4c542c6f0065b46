import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  binaryBytes,
  decodeMessage,
  impliedStatus,
  readStatus,
  readTrailers,
  statusName,
} from "../../../src/observe/grpc/status.ts";
import { latin1 } from "../../support/golden.ts";

Deno.test("statusName has the names of gRPC, and none for what is no code of it", () => {
  assertEquals([0, 5, 16, 17, -1, 1.5].map(statusName), [
    ...["OK", "NOT_FOUND", "UNAUTHENTICATED"],
    null,
    null,
    null,
  ]);
});

Deno.test("readStatus takes numbers alone", () => {
  const texts = ["0", "016", "9999999999", "99999999999", "-1", "1.0", "", " 1", "0x1"];
  assertEquals(texts.map(readStatus), [0, 16, 9999999999, null, null, null, null, null, null]);
});

Deno.test("impliedStatus maps a status of HTTP as clients do", () => {
  const names = [400, 401, 403, 404, 429, 502, 503, 504, 200, 418, 500].map((status) =>
    statusName(impliedStatus(status))
  );
  assertEquals(names, [
    ...["INTERNAL", "UNAUTHENTICATED", "PERMISSION_DENIED", "UNIMPLEMENTED"],
    ...["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"],
    ...["UNKNOWN", "UNKNOWN", "UNKNOWN"],
  ]);
});

Deno.test("decodeMessage takes off what an encoder puts on, and leaves what is no escape", () => {
  const octetsOf = (text: string) => new TextEncoder().encode(text);
  fc.assert(fc.property(fc.string({ unit: "grapheme" }).filter((text) => text.isWellFormed()), (text) => {
    const encoded = [...octetsOf(text)].map((octet) =>
      octet < 0x20 || octet > 0x7e || octet === 0x25
        ? `%${octet.toString(16).padStart(2, "0")}`
        : String.fromCharCode(octet)
    ).join("");
    assertEquals(decodeMessage(encoded), text);
    assertEquals(decodeMessage(encoded.toUpperCase()).length >= 0, true);
  }));
  assertEquals(decodeMessage("100% %4 %zz %% %c3%A9"), "100% %4 %zz %% é");
  assertEquals(decodeMessage("%ff"), "\ufffd");
});

Deno.test("binaryBytes counts the octets of base64 with its padding and without", () => {
  fc.assert(fc.property(fc.uint8Array(), (bytes) => {
    assertEquals(binaryBytes(bytes.toBase64()), bytes.length);
    assertEquals(binaryBytes(bytes.toBase64({ omitPadding: true })), bytes.length);
  }));
  assertEquals(["A", "AA*A", "AAAA===", "[redacted 8 bytes]"].map(binaryBytes), [null, null, null, null]);
});

Deno.test("readTrailers reads field lines however they end, and passes over what is none", () => {
  assertEquals(readTrailers(latin1("a: 1\r\nB:2\n\r\nnone\r\n:x\r\nc:\t \xa0d\xe9 \r\nlast:z")), [
    ["a", "1"],
    ["B", "2"],
    ["c", "\xa0d\xe9"],
    ["last", "z"],
  ]);
  assertEquals(readTrailers(new Uint8Array(0)), []);
});
