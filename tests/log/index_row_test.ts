import { assertEquals } from "@std/assert";
import {
  INDEX_COLUMNS,
  INDEX_HEADER,
  indexRow,
  indexRowStart,
  indexRowStartOf,
  parseIndexRow,
  segmentName,
} from "../../src/log/index_row.ts";
import { flowContext, LogBuilder, received } from "./log_builder.ts";

Deno.test("segmentName counts segments from the log's own name in five digits or more", () => {
  assertEquals([0, 1, 99_999, 100_000].map((segment) => segmentName("a.jsonl", segment)), [
    "a.jsonl",
    "a.jsonl.part00001",
    "a.jsonl.part99999",
    "a.jsonl.part100000",
  ]);
});

Deno.test("indexRow has the contract's columns, the same from an event as from its line", () => {
  assertEquals(
    INDEX_HEADER,
    "sequence_id\tflow_id\tflow_sequence_id\tkind\tprotocol\tstream_key\tsegment\tbyte_offset\tline_bytes\n",
  );
  const start = indexRowStart(7, 2, flowContext("1-3"), received);
  assertEquals(
    indexRow(start, "a.jsonl", 100, 50),
    "7\t1-3\t2\tconnect_received\tconnect\tflow\ta.jsonl\t100\t50\n",
  );
  const log = new LogBuilder().open();
  const context = log.flow(1);
  log.add(context, received);
  assertEquals(indexRowStartOf(JSON.parse(log.lines[1]!)), indexRowStart(1, 1, context, received));
});

Deno.test("indexRowStartOf gives none for log_opened and for what is no object", () => {
  for (const line of [JSON.parse(new LogBuilder().open().lines[0]!), null, 7, "x"]) {
    assertEquals(indexRowStartOf(line), null);
  }
});

Deno.test("parseIndexRow reads back where an event lies and refuses other text", () => {
  assertEquals(parseIndexRow("7\t1-3\t2\tk\tp\tflow\ta.part00001\t100\t50"), {
    segment: "a.part00001",
    byteOffset: 100,
    lineBytes: 50,
  });
  for (
    const row of [
      "",
      "a\tb",
      "1\t".repeat(INDEX_COLUMNS.length) + "1",
      "7\t1-3\t2\tk\tp\tf\ts\t-1\t5",
      "7\t1\t2\tk\tp\tf\ts\tx\t5",
    ]
  ) {
    assertEquals(parseIndexRow(row), null, row);
  }
});
