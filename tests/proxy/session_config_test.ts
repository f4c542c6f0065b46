import { assertEquals } from "@std/assert";
import { sessionConfig } from "../../src/proxy/session_config.ts";
import { openSha256 } from "../../src/runtime/digest.ts";
import { INFLATERS } from "../../src/runtime/inflate.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";

Deno.test("sessionConfig takes over what sessions need, names of fields in lower case", () => {
  const { settings } = settingsFromValues({
    values: {
      state_dir: "/tmp/x",
      http: { http2_enabled: false, max_head_bytes: 2048 },
      capture: { redact_headers: ["X-Secret"], body_bytes: 7, observe: false },
      timeouts: { head: "3s", tunnel_idle: "4s" },
    },
    env: {},
    cwd: "/",
  });
  const config = sessionConfig(settings, {
    md5: () => "m",
    sha1: () => "1",
    sha256: () => "s",
    inflaters: INFLATERS,
    openSha256,
  });
  assertEquals(config.limits.maxHeadBytes, 2048);
  assertEquals(config.limits.headMs, 3_000);
  assertEquals(config.tunnelIdleMs, 4_000);
  assertEquals(config.http2Enabled, false);
  assertEquals([...config.capture.redactHeaders], ["x-secret"]);
  assertEquals(config.capture.bodyBytes, 7);
  assertEquals(config.observes, false);
  assertEquals([config.md5("a"), config.sha256("a")], ["m", "s"]);
});
