import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { assert } from "../../src/core/assert.ts";
import type { Field } from "../../src/http/fields.ts";
import { HTTP2_ERROR_CODES } from "../../src/http2/errors.ts";
import {
  readRequest,
  readResponse,
  readTrailers,
  type RequestSection,
} from "../../src/http2/field_section.ts";
import { fieldKind, hpackField } from "../../src/http2/hpack_table.ts";

const ORIGIN = { by: "client", streamId: 5 } as const;

const list = (fields: readonly Field[]) =>
  fields.map(([name, value]) => hpackField(name, value, fieldKind(name), false));

function request(...fields: Field[]): RequestSection | string {
  const section = readRequest(list(fields), ORIGIN);
  return section.type === "error" ? section.code : section;
}

const GET: readonly Field[] = [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", "a.test"],
  [":path", "/x?y"],
];

/** GET with these fields after its own, or instead of those of the same name. */
function get(...fields: Field[]): RequestSection | string {
  const names = new Set(fields.map(([name]) => name));
  const pseudo = fields.filter(([name]) => name.startsWith(":"));
  return request(
    ...GET.filter(([name]) => !names.has(name)),
    ...pseudo,
    ...fields.filter(([name]) => !name.startsWith(":")),
  );
}

/** The code of what get() gives, or "ok". */
const verdict = (...fields: Field[]) => {
  const section = get(...fields);
  return typeof section === "string" ? section : "ok";
};

function response(...fields: Field[]) {
  const section = readResponse(list(fields), ORIGIN);
  return section.type === "error" ? section.code : section;
}

Deno.test("readRequest gives the control data and the other fields in order", () => {
  const fields: Field[] = [["cookie", "a=1"], ["cookie", "b=2"], ["content-length", "7"], ["x", ""]];
  assertEquals(request(...GET, ...fields), {
    type: "request",
    method: "GET",
    scheme: "https",
    path: "/x?y",
    authority: "a.test",
    protocol: null,
    host: null,
    hostDiffers: false,
    fields,
    contentLength: 7,
    tolerated: undefined,
  });
});

Deno.test("an error of a section is a stream error that says who and where", () => {
  const error = readRequest(list([[":method", "GET"]]), ORIGIN);
  assert(error.type === "error", "there is no :scheme");
  assertEquals([error.scope, error.errorCode, error.by, error.streamId], [
    "stream",
    "PROTOCOL_ERROR",
    "client",
    5,
  ]);
});

Deno.test("the errors of a section show neither a field's value nor a password", () => {
  for (
    const fields of [
      [...GET, ["authorization", "hunter2 "]],
      [...GET, ["authorization", "hunter2\n"]],
      [...GET, ["host", "user:hunter2@a.test"]],
      [...GET.filter(([name]) => name !== ":authority"), [":authority", "user:hunter2@a.test"]],
    ] as Field[][]
  ) {
    const error = readRequest(list(fields), ORIGIN);
    assert(error.type === "error", JSON.stringify(fields));
    assertEquals(error.detail.includes("hunter2"), false, error.detail);
  }
});

Deno.test("readRequest wants :method, :scheme and :path exactly once, and before other fields", () => {
  for (const missing of [":method", ":scheme", ":path"]) {
    assertEquals(request(...GET.filter(([name]) => name !== missing)), "missing_pseudo_field", missing);
  }
  for (const [name, value] of GET) {
    assertEquals(request(...GET, [name, value]), "repeated_pseudo_field", name);
    assertEquals(
      request(...GET.filter((field) => field[0] !== name), ["x", "y"], [name, value]),
      "misplaced_pseudo_field",
    );
  }
  assertEquals(request(...GET, [":status", "200"]), "misplaced_pseudo_field");
  assertEquals(request(...GET, [":x", "y"]), "unknown_pseudo_field");
  assertEquals(request(...GET, ["x", "y"], [":", ""]), "unknown_pseudo_field");
  assertEquals(request(), "missing_pseudo_field");
});

Deno.test("readRequest refuses names and values of RFC 9113 §8.2.1 anywhere", () => {
  for (const name of ["X", "a b", "", "a\n", "caf\xe9", "a:"]) {
    assertEquals(verdict([name, "v"]), "invalid_field_name");
  }
  for (const value of ["a\rb", "a\nb", "\0", " a", "a\t"]) {
    assertEquals(verdict(["x", value]), "invalid_field_value");
    assertEquals(verdict([":authority", value]), "invalid_field_value");
  }
});

Deno.test("readRequest refuses connection-specific fields, and TE other than trailers", () => {
  for (const name of ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]) {
    assertEquals(verdict([name, "x"]), "connection_specific_field", name);
  }
  assertEquals(
    ["trailers", "Trailers", "gzip", "trailers, gzip", ""].map((value) => verdict(["te", value])),
    [
      "ok",
      "ok",
      "invalid_te",
      "invalid_te",
      "invalid_te",
    ],
  );
});

Deno.test("readRequest judges :path by its scheme and method", () => {
  const path = (value: string, ...more: Field[]) => verdict([":path", value], ...more);
  for (const value of ["/", '/a?b=c|"^', "//x", "/\xe9"]) assertEquals(path(value), "ok", value);
  for (const value of ["", "a", "*", "http://a/", "/a b", "/a#b", "/\x7f", "/\x01", "?a"]) {
    assertEquals(path(value), "invalid_path", JSON.stringify(value));
  }
  assertEquals(path("*", [":method", "OPTIONS"]), "ok");
  assertEquals(path("anything", [":scheme", "urn"]), "ok");
  assertEquals(path("", [":scheme", "urn"]), "invalid_path");
  assertEquals(path("a", [":scheme", "HTTPS"]), "invalid_path");
});

Deno.test("readRequest judges :method, :scheme and :authority", () => {
  assertEquals(["get", "M-SEARCH", "", "A B", "G(T"].map((value) => verdict([":method", value])), [
    "ok",
    "ok",
    "invalid_method",
    "invalid_method",
    "invalid_method",
  ]);
  assertEquals(["http", "a+b-c.1", "", "1a", "ht tp", "https:"].map((value) => verdict([":scheme", value])), [
    "ok",
    "ok",
    "invalid_scheme",
    "invalid_scheme",
    "invalid_scheme",
    "invalid_scheme",
  ]);
  for (const value of ["a", "A.test:443", "[::1]:8443", "127.0.0.1", "%2Ftmp%2Fsocket", "a:"]) {
    assertEquals(verdict([":authority", value]), "ok", value);
  }
  for (
    const value of ["", "user@a.test", "a b", "a/b", "a?b", "a#b", "::1", "a:b", "[::1", "a\\b", "caf\xe9"]
  ) {
    assertEquals(verdict([":authority", value]), "invalid_authority", value);
  }
});

Deno.test("readRequest tells whether Host names another server than :authority", () => {
  const differs = (authority: string, host: string, scheme = "https") => {
    const section = get([":scheme", scheme], [":authority", authority], ["host", host]);
    return typeof section === "string" ? section : section.hostDiffers;
  };
  for (
    const [authority, host, scheme] of [
      ["a.test", "a.test"],
      ["a.test", "A.TEST"],
      ["a.test", "a.test:443"],
      ["a.test:443", "a.test."],
      ["a.test", "a.test:80", "http"],
      ["[::1]", "[::1]:443"],
      ["a.test:0443", "a.test"],
    ] as const
  ) assertEquals(differs(authority, host, scheme), false, `${authority} ${host}`);
  for (
    const [authority, host, scheme] of [
      ["a.test", "b.test"],
      ["a.test", "a.test:80"],
      ["a.test", "a.test:443", "http"],
      ["a.test", ""],
      ["a.test:8443", "a.test:8444"],
    ] as const
  ) assertEquals(differs(authority, host, scheme), true, `${authority} ${host}`);
  assertEquals(differs("a.test", "x@a.test"), "invalid_host");
  assertEquals(verdict(["host", "a.test"], ["host", "a.test"]), "repeated_host");
  const only = request([":method", "GET"], [":scheme", "https"], [":path", "/"], ["host", "h.test"]);
  assert(typeof only === "object", "Host alone is enough");
  assertEquals([only.authority, only.host, only.hostDiffers], [null, "h.test", false]);
  assertEquals(typeof request([":method", "GET"], [":scheme", "https"], [":path", "/"]), "object");
});

Deno.test("readRequest takes CONNECT with an authority and nothing else", () => {
  const connect = (...fields: Field[]) => {
    const section = request([":method", "CONNECT"], ...fields);
    return typeof section === "string" ? section : [section.authority, section.scheme, section.path];
  };
  assertEquals(connect([":authority", "a.test:443"]), ["a.test:443", null, null]);
  assertEquals(connect([":authority", "a.test"]), "invalid_connect");
  assertEquals(connect(), "invalid_connect");
  assertEquals(connect([":authority", "a.test:443"], [":path", "/"]), "invalid_connect");
  assertEquals(connect([":authority", "a.test:443"], [":scheme", "https"]), "invalid_connect");
});

Deno.test("readRequest takes extended CONNECT with all of its fields", () => {
  const section = get([":method", "CONNECT"], [":protocol", "websocket"]);
  assert(typeof section === "object", "RFC 8441 §4");
  assertEquals([section.method, section.protocol, section.path], ["CONNECT", "websocket", "/x?y"]);
  assertEquals(verdict([":protocol", "websocket"]), "invalid_protocol", "with GET");
  assertEquals(verdict([":method", "CONNECT"], [":protocol", ""]), "invalid_protocol");
  const without = GET.filter(([name]) => name !== ":authority" && name !== ":method");
  assertEquals(request([":method", "CONNECT"], [":protocol", "x"], ...without), "missing_pseudo_field");
});

Deno.test("content-length is a number, and repeated only where it is the same", () => {
  const length = (...values: string[]) => {
    const section = get(...values.map((value): Field => ["content-length", value]));
    return typeof section === "string" ? section : section.contentLength;
  };
  assertEquals([length(), length("0"), length("007"), length("5", "5"), length("5, 5")], [null, 0, 7, 5, 5]);
  assertEquals(length("9007199254740991"), Number.MAX_SAFE_INTEGER);
  for (
    const values of [["9007199254740992"], ["-1"], ["+1"], ["1.0"], ["0x1"], [""], ["5,"], ["5", "6"], [
      "5, 6",
    ]]
  ) {
    assertEquals(length(...values), "invalid_content_length", values.join(" and "));
  }
});

Deno.test("content-length with much white space is judged in linear time", () => {
  const value = `1${" ".repeat(200_000)}1`;
  assertEquals(verdict(["content-length", value]), "invalid_content_length");
});

Deno.test("readResponse wants one :status of three digits, and no other pseudo-header field", () => {
  assertEquals(response([":status", "200"], ["server", "x"]), {
    type: "response",
    status: 200,
    fields: [["server", "x"]],
    contentLength: null,
    tolerated: undefined,
  });
  for (const status of ["100", "103", "204", "599", "999"]) {
    assertEquals(typeof response([":status", status]), "object", status);
  }
  for (const status of ["", "99", "099", "1000", "2OO", "101", "+20"]) {
    assertEquals(response([":status", status]), "invalid_status", status);
  }
  assertEquals(response(), "missing_pseudo_field");
  assertEquals(response([":status", "200"], [":status", "200"]), "repeated_pseudo_field");
  assertEquals(response([":status", "200"], [":path", "/"]), "misplaced_pseudo_field");
  assertEquals(response(["x", "y"], [":status", "200"]), "misplaced_pseudo_field");
  assertEquals(response([":status", "200"], ["connection", "close"]), "connection_specific_field");
});

Deno.test("readTrailers takes fields without any pseudo-header field", () => {
  const trailers = (...fields: Field[]) => {
    const section = readTrailers(list(fields), ORIGIN);
    return section.type === "error" ? section.code : section.fields;
  };
  assertEquals(trailers(["grpc-status", "0"], ["grpc-message", ""]), [["grpc-status", "0"], [
    "grpc-message",
    "",
  ]]);
  assertEquals(trailers(), []);
  assertEquals(trailers([":status", "200"]), "misplaced_pseudo_field");
  assertEquals(trailers([":path", "/"]), "misplaced_pseudo_field");
  assertEquals(trailers(["x", "a\n"]), "invalid_field_value");
});

Deno.test("every reader is total, and what it lets through has nothing forbidden in it", () => {
  const name = fc.oneof(
    fc.constantFrom(":method", ":scheme", ":authority", ":path", ":protocol", ":status", "host", "te"),
    fc.constantFrom("content-length", "connection", ":x", "cookie"),
    fc.string({ unit: fc.constantFrom(..."aB:-\r\0 \xe9"), maxLength: 4 }),
  );
  const value = fc.oneof(
    fc.constantFrom("GET", "CONNECT", "https", "a.test", "/", "200", "websocket", "5", "trailers"),
    fc.string({ unit: fc.constantFrom(..."a/:@# \t\r\n\0\xe9,0"), maxLength: 5 }),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(name, value), { maxLength: 7 }), (fields) => {
      for (const reader of [readRequest, readResponse, readTrailers]) {
        const section = reader(list(fields), ORIGIN);
        if (section.type === "error") {
          assert(HTTP2_ERROR_CODES.includes(section.code) && section.scope === "stream", section.code);
          continue;
        }
        const pseudo = fields.length - section.fields.length;
        assertEquals(section.fields, fields.slice(pseudo));
        assertEquals(fields.slice(0, pseudo).every(([name]) => name.startsWith(":")), true);
        for (const [name, value] of section.fields) {
          assertEquals(/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name), true);
          assertEquals(/[\r\n\0]|^[ \t]|[ \t]$/.test(value), false);
        }
      }
    }),
    { numRuns: 3000 },
  );
});
