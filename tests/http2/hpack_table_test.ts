import { assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  DynamicTable,
  FIELD_OVERHEAD_BYTES,
  fieldKind,
  hpackField,
  STATIC_TABLE,
  STATIC_TABLE_LENGTH,
} from "../../src/http2/hpack_table.ts";

const field = (name: string, value: string) => hpackField(name, value, fieldKind(name), false);

Deno.test("STATIC_TABLE has the 61 fields of RFC 7541 Appendix A from index 1 on", () => {
  assertEquals([STATIC_TABLE_LENGTH, STATIC_TABLE.length, STATIC_TABLE[0]], [61, 62, undefined]);
  const rows: readonly [number, string, string][] = [
    [1, ":authority", ""],
    [2, ":method", "GET"],
    [5, ":path", "/index.html"],
    [7, ":scheme", "https"],
    [14, ":status", "500"],
    [15, "accept-charset", ""],
    [16, "accept-encoding", "gzip, deflate"],
    [19, "accept", ""],
    [28, "content-length", ""],
    [32, "cookie", ""],
    [38, "host", ""],
    [44, "last-modified", ""],
    [50, "range", ""],
    [55, "set-cookie", ""],
    [58, "user-agent", ""],
    [61, "www-authenticate", ""],
  ];
  for (const [index, name, value] of rows) assertEquals(STATIC_TABLE[index]!.field, [name, value]);
});

Deno.test("fieldKind knows what RFC 9113 §8.2 and §8.3 single out", () => {
  assertEquals(
    [":path", ":status", ":x", ":", "host", "te", "connection", "proxy-connection", "upgrade"].map(fieldKind),
    [
      "path",
      "status",
      "unknown_pseudo",
      "unknown_pseudo",
      "host",
      "te",
      ...Array(3).fill("connection_specific"),
    ],
  );
  assertEquals(["x-a", "!#$%&'*+-.^_`|~09az"].map(fieldKind), ["regular", "regular"]);
  for (const name of ["", "X-a", "a b", "a:b", "a\r", "a\n", "a\0", "\xe9", "a\x7f", "a(", "a\u{131}"]) {
    assertEquals(fieldKind(name), "invalid_name", JSON.stringify(name));
  }
  // Every octet that RFC 9113 §8.2.1 names is refused.
  for (let octet = 0; octet < 256; octet++) {
    const forbidden = octet <= 0x20 || (octet >= 0x41 && octet <= 0x5a) || octet >= 0x7f || octet === 0x3a;
    if (forbidden) assertEquals(fieldKind(`a${String.fromCharCode(octet)}`), "invalid_name");
  }
});

Deno.test("hpackField knows values with CR, LF, NUL or white space at an end, and counts 32 more", () => {
  for (const value of ["", "a", "a b\tc", "\xff", "\x01", "\x7f"]) {
    assertEquals(field("x", value).validValue, true, JSON.stringify(value));
  }
  for (const value of [" ", "\t", " a", "a ", "\ta", "a\t", "a\rb", "a\n", "\0", "a\r\nb: c"]) {
    assertEquals(field("x", value).validValue, false, JSON.stringify(value));
  }
  assertEquals(field("name", "value").size, 9 + FIELD_OVERHEAD_BYTES);
});

Deno.test("DynamicTable evicts the oldest until the new field has room, at the limit and one over", () => {
  const table = new DynamicTable(3 * 34);
  for (const name of ["a", "b", "c"]) table.insert(field(name, "1"));
  assertEquals([table.length, table.size], [3, 102]);
  table.insert(field("d", "1"));
  assertEquals([0, 1, 2, 3].map((age) => table.at(age)?.field[0]), ["d", "c", "b", undefined]);
  table.insert(field("e", "12"));
  assertEquals([table.length, table.size, table.at(1)?.field[0]], [2, 69, "d"]);
});

Deno.test("DynamicTable is emptied by a field larger than itself, which is no error", () => {
  const table = new DynamicTable(64);
  table.insert(field("a", ""));
  table.insert(field("b", "x".repeat(31)));
  assertEquals([table.length, table.size], [1, 64]);
  table.insert(field("b", "x".repeat(32)));
  assertEquals([table.length, table.size, table.at(0)], [0, 0, undefined]);
  table.resize(0);
  table.insert(field("", ""));
  assertEquals(table.length, 0);
});

Deno.test("DynamicTable does as a plain list does", () => {
  const step = fc.oneof(
    fc.record({ insert: fc.nat(120) }),
    fc.record({ resize: fc.nat(2000) }),
  );
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const table = new DynamicTable(1000);
    let list: string[] = [];
    let maxSize = 1000;
    const shrink = () => {
      while (list.length * 33 + list.join("").length > maxSize) list = list.slice(0, -1);
    };
    steps.forEach((step, index) => {
      if ("resize" in step) table.resize(maxSize = step.resize);
      else {
        const value = String(index).padEnd(step.insert, "x");
        table.insert(field("n", value));
        list = [value, ...list];
      }
      shrink();
      assertEquals(table.size, list.length * 33 + list.join("").length);
      assertEquals(list.map((_, age) => table.at(age)!.field[1]), list);
      assertEquals([table.length, table.at(list.length)], [list.length, undefined]);
    });
  }));
});
