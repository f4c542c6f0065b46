import { assertEquals } from "@std/assert";
import type { Side } from "../../src/core/side.ts";
import { checkSetting, INITIAL_SETTINGS, SETTINGS, SettingsTracker } from "../../src/http2/settings.ts";

const code = (identifier: number, value: number, by: Side = "client") =>
  checkSetting(identifier, value, by, 0)?.code ?? "ok";

Deno.test("checkSetting holds each setting to its values, at n and n+1", () => {
  const { enable_push, initial_window_size, max_frame_size } = SETTINGS;
  assertEquals([0, 1, 2].map((value) => code(enable_push, value)), ["ok", "ok", "invalid_setting"]);
  assertEquals([0, 1].map((value) => code(enable_push, value, "server")), ["ok", "invalid_setting"]);
  assertEquals([0x7fff_ffff, 0x8000_0000].map((value) => code(initial_window_size, value)), [
    "ok",
    "invalid_initial_window_size",
  ]);
  assertEquals([16_383, 16_384, 0xff_ffff, 0x100_0000].map((value) => code(max_frame_size, value)), [
    "invalid_setting",
    "ok",
    "ok",
    "invalid_setting",
  ]);
  for (const flag of [SETTINGS.enable_connect_protocol, SETTINGS.no_rfc7540_priorities]) {
    assertEquals([0, 1, 2].map((value) => code(flag, value)), ["ok", "ok", "invalid_setting"]);
  }
  for (
    const free of [
      SETTINGS.header_table_size,
      SETTINGS.max_concurrent_streams,
      SETTINGS.max_header_list_size,
      0x99,
    ]
  ) {
    assertEquals([0, 0xffff_ffff].map((value) => code(free, value)), ["ok", "ok"]);
  }
  assertEquals(checkSetting(initial_window_size, 0xffff_ffff, "client", 0)?.errorCode, "FLOW_CONTROL_ERROR");
});

Deno.test("SettingsTracker puts settings in force with their acknowledgement, in order", () => {
  const tracker = new SettingsTracker("server", 10);
  assertEquals(tracker.inForce, INITIAL_SETTINGS);
  tracker.sent([[SETTINGS.max_concurrent_streams, 100], [0x99, 5]]);
  tracker.sent([
    [SETTINGS.initial_window_size, 1],
    [SETTINGS.enable_push, 0],
    [SETTINGS.max_header_list_size, 9],
    [SETTINGS.enable_connect_protocol, 1],
  ]);
  assertEquals(tracker.inForce, INITIAL_SETTINGS);
  assertEquals(tracker.acknowledged(), { type: "acknowledged", headerTableSizes: [] });
  assertEquals(tracker.inForce, { ...INITIAL_SETTINGS, maxConcurrentStreams: 100 });
  tracker.acknowledged();
  assertEquals(tracker.inForce, {
    ...INITIAL_SETTINGS,
    maxConcurrentStreams: 100,
    initialWindowSize: 1,
    enablePush: false,
    maxHeaderListSize: 9,
    enableConnectProtocol: true,
  });
  assertEquals(tracker.acknowledged(), null, "an acknowledgement of nothing");
});

Deno.test("SettingsTracker tells the decoder the smallest table size before the last", () => {
  const tracker = new SettingsTracker("server", 10);
  const sizes = (...values: number[]) => {
    tracker.sent(values.map((value) => [SETTINGS.header_table_size, value]));
    return tracker.acknowledged()?.headerTableSizes;
  };
  assertEquals(sizes(0), [0]);
  assertEquals(sizes(100, 20, 50), [20, 50]);
  assertEquals(sizes(50, 20), [20]);
  assertEquals(sizes(), []);
  assertEquals(tracker.inForce.headerTableSize, 20);
});

Deno.test("SettingsTracker lets larger frames come before the acknowledgement, and takes them back with it", () => {
  const tracker = new SettingsTracker("server", 10);
  tracker.sent([[SETTINGS.max_frame_size, 65_536]]);
  assertEquals(tracker.maxFrameSize, 65_536);
  tracker.sent([[SETTINGS.max_frame_size, 20_000]]);
  assertEquals(tracker.maxFrameSize, 65_536);
  tracker.acknowledged();
  assertEquals(tracker.maxFrameSize, 65_536);
  tracker.acknowledged();
  assertEquals(tracker.maxFrameSize, 20_000);
});

Deno.test("SettingsTracker lets so many frames wait for their acknowledgement, and one more is over the limit", () => {
  const tracker = new SettingsTracker("client", 2);
  assertEquals([tracker.sent([]), tracker.sent([]), tracker.unacknowledged], [null, null, 2]);
  const error = tracker.sent([]);
  assertEquals([error?.code, error?.errorCode, error?.by], [
    "too_many_unacknowledged_settings",
    "ENHANCE_YOUR_CALM",
    "client",
  ]);
  tracker.acknowledged();
  assertEquals(tracker.sent([]), null);
});
