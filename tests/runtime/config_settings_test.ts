/** Each setting at both ends of what it takes, in a file and in the environment. */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { settingsFromValues } from "../../src/runtime/config/load.ts";
import {
  DESCRIPTORS,
  environmentName,
  type SettingKey,
  settingsPath,
} from "../../src/runtime/config/schema.ts";
import { allowedText } from "../../src/runtime/config/values.ts";
import { StartError } from "../../src/runtime/start_error.ts";

const DAY_MS = 86_400_000;
const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const TiB = 1024 * GiB;

/** `valid`: what is written, and the value it gives. `invalid`: what is written. Limits at n and n + 1. */
interface Cases {
  readonly valid: readonly (readonly [unknown, unknown])[];
  readonly invalid: readonly unknown[];
  /** What else must be set for the extremes to be consistent. */
  readonly beside?: Readonly<Record<string, unknown>>;
}

const PATHS: Cases = {
  valid: [["a/b", "/app/a/b"], ["/x/y", "/x/y"], ["../z", "/z"]],
  invalid: ["", 1, ["a"], null, "a\0b", "x".repeat(4_097)],
};
const PATTERNS: Cases = {
  valid: [[[], []], [["a.example", "*.b.example:443", "10.0.0.0/8", "::1"], [
    "a.example",
    "*.b.example:443",
    "10.0.0.0/8",
    "::1",
  ]]],
  invalid: ["a.example", ["a b"], ["a.example:65536"], [1], [""], Array(10_001).fill("a.example"), {}],
};
const SHORT: Cases = {
  valid: [["1ms", 1], ["1h", 3_600_000], ["60m", 3_600_000]],
  invalid: ["0ms", "0s", "3600001ms", "61m", "1.5s", "-1s", "1 s", "1S", "s", "1", 1, null, ["1s"], "1m30s"],
};
const LONG: Cases = {
  valid: [["1ms", 1], ["7d", 7 * DAY_MS]],
  invalid: ["0s", `${7 * DAY_MS + 1}ms`, "8d", 5],
};
const text = (maxCharacters: number): Cases => ({
  valid: [["x", "x"], ["é".repeat(maxCharacters), "é".repeat(maxCharacters)]],
  invalid: ["", "x".repeat(maxCharacters + 1), "a\nb", 1],
});
const choice = (...choices: string[]): Cases => ({
  valid: choices.map((choice) => [choice, choice]),
  invalid: ["", "other", choices[0]?.toUpperCase(), 1, null, [choices[0]]],
});
const size = (min: number, max: number, beside: Readonly<Record<string, unknown>> = {}): Cases => ({
  valid: [[min, min], [max, max], [String(max), max], [`${max}B`, max]],
  invalid: [min - 1, max + 1, min + 0.5, "1 KiB", "1kb", "1K", "1.5MiB", "", null, [1], Infinity, NaN],
  beside,
});
const count = (min: number, max: number): Cases => ({
  valid: [[min, min], [max, max]],
  invalid: [min - 1, max + 1, min + 0.5, "many", null, [1], "1KiB"],
});

const CASES: Readonly<Record<SettingKey, Cases>> = {
  "listen": {
    valid: [
      [["127.0.0.1:0"], ["127.0.0.1:0"]],
      [["[::1]:65535", "localhost:1", "unix:run/x.sock"], [
        "[::1]:65535",
        "localhost:1",
        "unix:/app/run/x.sock",
      ]],
      [["127.0.0.1:0", "127.0.0.1:0"], ["127.0.0.1:0", "127.0.0.1:0"]],
    ],
    invalid: [
      "127.0.0.1:8080",
      [],
      ["127.0.0.1"],
      ["127.0.0.1:65536"],
      ["127.0.0.1:-1"],
      ["127.0.0.1:"],
      [":8080"],
      ["::1:80"],
      ["[::1]"],
      ["[127.0.0.1]:80"],
      ["a b:80"],
      ["1.2.3:80"],
      ["http://a:80"],
      ["unix:"],
      ["127.0.0.1:80", "127.0.0.1:80"],
      [8080],
      Array.from({ length: 65 }, (_, index) => `127.0.0.1:${index + 1}`),
    ],
  },
  "state_dir": PATHS,
  "overrides": {
    valid: [
      [[], []],
      [[{ id: "a", hosts: ["*.x.example:443"], force_tunnel: true, disable_h2: false }], [{
        id: "a",
        hosts: ["*.x.example:443"],
        forceTunnel: true,
        http3: false,
        stripAltSvc: false,
        strictHeaders: true,
        disableH2: false,
        skipUpstreamVerify: false,
        profile: null,
      }]],
      [
        [{ id: "b", hosts: ["10.0.0.0/8"], disable_h2: true, skip_upstream_verify: true, profile: "strict" }],
        [{
          id: "b",
          hosts: ["10.0.0.0/8"],
          forceTunnel: false,
          http3: false,
          stripAltSvc: false,
          strictHeaders: true,
          disableH2: true,
          skipUpstreamVerify: true,
          profile: "strict",
        }],
      ],
      [[{ id: "c", hosts: ["c.example"], strict_headers: false }], [{
        id: "c",
        hosts: ["c.example"],
        forceTunnel: false,
        http3: false,
        stripAltSvc: false,
        strictHeaders: false,
        disableH2: false,
        skipUpstreamVerify: false,
        profile: null,
      }]],
    ],
    invalid: [
      {},
      "a",
      [1],
      [{}],
      [{ id: "a", hosts: ["*"], client_cert: "a.pem" }],
      [{ id: "a", hosts: ["*"], client_cert: "a.pem", client_key: "" }],
      [{ id: "a", hosts: ["*"], force_tunnel: true, client_cert: "a.pem", client_key: "a.key" }],
      [{ id: "a", hosts: ["*"] }],
      [{ id: "a", hosts: ["*"], force_tunnel: false }],
      [{ id: "a", disable_h2: true }],
      [{ id: "", hosts: ["*"], disable_h2: true }],
      [{ id: "a", hosts: [], disable_h2: true }],
      [{ id: "a", hosts: ["a b"], disable_h2: true }],
      [{ id: "a", hosts: ["*"], disable_h2: "true" }],
      [{ id: "a", hosts: ["*"], profile: "modern" }],
      [{ id: "a", hosts: ["*"], profile: 1 }],
      [{ id: "a", hosts: ["*"], force_tunnel: true, disable_h2: true }],
      [{ id: "a", hosts: ["*"], force_tunnel: true, http3: true }],
      [{ id: "a", hosts: ["*"], http3: true, profile: "compat" }],
      [{ id: "a", hosts: ["*"], http3: true, strip_alt_svc: true }],
      [{ id: "a", hosts: ["*"], strip_alt_svc: 1 }],
      [{ id: "a", hosts: ["*"], force_tunnel: true, profile: "compat" }],
      [{ id: "a", hosts: ["*"], strict_headers: true }],
      [{ id: "a", hosts: ["*"], strict_headers: "false" }],
      [{ id: "a", hosts: ["*"], force_tunnel: true, strict_headers: false }],
      [{ id: "a", hosts: ["*"], disable_h2: true, disable_http2: true }],
      [{ id: "a", hosts: ["*"], disable_h2: true }, { id: "a", hosts: ["x"], disable_h2: true }],
    ],
  },
  "route.mode": {
    ...choice("forward", "reverse"),
    valid: [["reverse", "reverse"]],
    beside: { "route.reverse_origin": "http://a" },
  },
  "route.reverse_origin": {
    valid: [
      ["https://A.example", "https://a.example:443"],
      ["http://a.example/", "http://a.example:80"],
      ["HTTPS://[::1]:65535", "https://[::1]:65535"],
      ["http://10.0.0.1:1", "http://10.0.0.1:1"],
    ],
    invalid: [
      "",
      "a.example",
      "a.example:443",
      "ftp://a.example",
      "https://",
      "https://a.example:0",
      "https://a.example:65536",
      "https://a.example/x",
      "https://a.example?x",
      "https://a.example/?",
      "https://a.example#x",
      "https://user@a.example",
      "https://a b",
      "https://2130706433",
      1,
      null,
      ["https://a.example"],
    ],
    beside: { "route.mode": "reverse" },
  },
  "policy.default": choice("intercept", "tunnel", "block"),
  "policy.ignore_hosts": PATTERNS,
  "policy.block_hosts": PATTERNS,
  "policy.rules": {
    valid: [
      [[], []],
      [[{ id: "a", hosts: ["x.example"], action: "block" }], [{
        id: "a",
        hosts: ["x.example"],
        action: "block",
      }]],
      [[{ id: "a", hosts: ["*"], ports: [1, 65_535], action: "tunnel" }], [{
        id: "a",
        hosts: ["*"],
        action: "tunnel",
        ports: [1, 65_535],
      }]],
      [[{ id: "p", hosts: ["*"], paths: ["/admin/*", "*.php"], methods: ["GET"], action: "block" }], [{
        id: "p",
        hosts: ["*"],
        paths: ["/admin/*", "*.php"],
        methods: ["GET"],
        action: "block",
      }]],
      [
        [{ id: "h", hosts: ["*"], sni: ["*.a.example"], ja4: ["t13d*"], alpn: ["h2"], action: "tunnel" }],
        [{ id: "h", hosts: ["*"], sni: ["*.a.example"], ja4: ["t13d*"], alpn: ["h2"], action: "tunnel" }],
      ],
      [[{ id: "q", hosts: ["*"], ports: [443], http3: true, action: "tunnel" }], [{
        id: "q",
        hosts: ["*"],
        ports: [443],
        http3: true,
        action: "tunnel",
      }]],
      [[{ id: "q", hosts: ["*"], http3: false, action: "block" }], [{
        id: "q",
        hosts: ["*"],
        action: "block",
      }]],
      [[{ id: "x".repeat(128), hosts: ["*"], action: "intercept" }], [{
        id: "x".repeat(128),
        hosts: ["*"],
        action: "intercept",
      }]],
    ],
    invalid: [
      {},
      "block",
      [1],
      [{}],
      [{ id: "a", hosts: ["*"], action: "block", paths: [] }],
      [{ id: "a", hosts: ["*"], action: "block", paths: ["admin"] }],
      [{ id: "a", hosts: ["*"], action: "block", paths: "/admin" }],
      [{ id: "a", hosts: ["*"], action: "block", methods: [] }],
      [{ id: "a", hosts: ["*"], action: "block", methods: ["GET", 1] }],
      [{ id: "a", hosts: ["*"], action: "block", methods: ["GET /"] }],
      [{ id: "a", hosts: ["*"], action: "block", sni: ["a.example:443"] }],
      [{ id: "a", hosts: ["*"], action: "block", ja4: ["t13d"] }],
      [{ id: "a", hosts: ["*"], action: "block", alpn: "h2" }],
      [{ hosts: ["*"], action: "block" }],
      [{ id: "", hosts: ["*"], action: "block" }],
      [{ id: "x".repeat(129), hosts: ["*"], action: "block" }],
      [{ id: "a", hosts: [], action: "block" }],
      [{ id: "a", hosts: "*", action: "block" }],
      [{ id: "a", hosts: ["a b"], action: "block" }],
      [{ id: "a", hosts: ["*"], action: "drop" }],
      [{ id: "a", hosts: ["*"], action: "tunnel", http3: 1 }],
      [{ id: "a", hosts: ["*"], action: "block", http3: true }],
      [{ id: "a", hosts: ["*"], action: "tunnel", http3: true, paths: ["/*"] }],
      [{ id: "a", hosts: ["*"], action: "tunnel", http3: true, methods: ["GET"] }],
      [{ id: "a", hosts: ["*"] }],
      [{ id: "a", hosts: ["*"], ports: [], action: "block" }],
      [{ id: "a", hosts: ["*"], ports: [0], action: "block" }],
      [{ id: "a", hosts: ["*"], ports: [65_536], action: "block" }],
      [{ id: "a", hosts: ["*"], ports: ["443"], action: "block" }],
      [{ id: "a", hosts: ["*"], action: "block", port: 1 }],
      [{ id: "a", hosts: ["*"], action: "block" }, { id: "a", hosts: ["*"], action: "block" }],
    ],
  },
  "http.connect_parse_mode": choice("strict", "lenient"),
  "http.max_head_bytes": size(KiB, 16 * MiB, { "limits.flow_buffer_bytes": "64MiB" }),
  "http.max_header_fields": count(1, 65_536),
  "http.http3_passthrough": { valid: [[true, true], [false, false]], invalid: ["yes", "1", 1, 0, ["true"]] },
  "http.http2_enabled": { valid: [[true, true], [false, false]], invalid: ["yes", "1", 1, 0, ["true"]] },
  "http.http2_max_header_list_size": size(KiB, 16 * MiB),
  "http.http2_max_table_size": size(4 * KiB, 16 * MiB),
  "http.http2_max_continuations": count(0, 65_536),
  "http.http2_max_streams": count(1, 1_000_000),
  "http.http2_flood_window": SHORT,
  "http.http2_max_resets": count(1, 1_000_000_000),
  "http.http2_max_provoked_resets": count(1, 1_000_000_000),
  "http.http2_max_pings": count(1, 1_000_000_000),
  "http.http2_max_settings": count(1, 1_000_000_000),
  "http.http2_max_priorities": count(1, 1_000_000_000),
  "http.http2_max_empty_frames": count(1, 1_000_000_000),
  "http.http2_max_window_updates": count(1, 1_000_000_000),
  "tls.ca_cert_path": { ...PATHS, beside: { "tls.ca_key_path": "key" } },
  "tls.ca_key_path": { ...PATHS, beside: { "tls.ca_cert_path": "cert" } },
  "tls.upstream_client_cert": { ...PATHS, beside: { "tls.upstream_client_key": "key" } },
  "tls.upstream_client_key": { ...PATHS, beside: { "tls.upstream_client_cert": "cert" } },
  "tls.ca_common_name": text(64),
  "tls.ca_organization": text(64),
  "tls.ca_rotate_after": {
    valid: [["0s", 0], ["0d", 0], ["1h", 3_600_000], ["3650d", 3_650 * DAY_MS]],
    invalid: ["1ms", "59m", "3599999ms", "3651d", 0, `${3_650 * DAY_MS + 1}ms`],
  },
  "tls.leaf_cache_capacity": count(0, 1_000_000),
  "tls.profile": choice("strict", "default", "compat"),
  "tls.upstream_sni_mode": choice("required", "auto", "disabled"),
  "tls.downstream_cert_profile": choice("modern", "compat"),
  "tls.upstream_trust": {
    valid: [["system", "system"], ["bundled", "bundled"], ["roots.pem", "/app/roots.pem"]],
    invalid: ["", 1, null, ["system"]],
  },
  "tls.upstream_ca_bundle": PATHS,
  "tls.learned_bypass": choice("off", "suggest", "on"),
  "tls.learned_bypass_failures": count(1, 100),
  "tls.learned_bypass_window": {
    valid: [["1s", 1_000], ["1d", DAY_MS]],
    invalid: ["999ms", "0s", `${DAY_MS + 1}ms`, "2d", 5],
  },
  "tls.learned_bypass_ttl": {
    valid: [["1s", 1_000], ["30d", 30 * DAY_MS]],
    invalid: ["999ms", "0s", `${30 * DAY_MS + 1}ms`, "31d", 5],
  },
  "capture.body_bytes": size(0, TiB),
  "capture.observe": { valid: [[true, true], [false, false]], invalid: ["yes", "1", 1, 0, ["true"]] },
  "capture.payload_bytes": size(0, 16 * MiB),
  "capture.redact_headers": {
    valid: [[[], []], [["X-Secret", "a"], ["x-secret", "a"]], [["x".repeat(256)], ["x".repeat(256)]]],
    invalid: ["cookie", ["a b"], ["a:"], [""], [1], ["x".repeat(257)], Array(257).fill("a")],
  },
  "limits.max_flows": count(1, 1_000_000),
  "limits.max_in_flight_bytes": size(MiB, TiB),
  "limits.flow_buffer_bytes": size(16 * KiB, GiB, {
    "limits.max_in_flight_bytes": "1GiB",
    "http.max_head_bytes": 1024,
  }),
  "limits.decoder_buffer_bytes": size(64 * KiB, GiB),
  "limits.inflate_ratio": count(1, 100_000),
  "limits.inflate_bytes": size(64 * KiB, TiB),
  "timeouts.head": SHORT,
  "timeouts.connect": SHORT,
  "timeouts.tls_handshake": SHORT,
  "timeouts.idle": LONG,
  "timeouts.exchange_idle": LONG,
  "timeouts.tunnel_idle": LONG,
  "timeouts.ws_turn_idle": SHORT,
  "timeouts.drain": { valid: [["0s", 0], ["1h", 3_600_000]], invalid: ["61m", "3600001ms", 0, "-1s"] },
  "events.sinks": {
    valid: [
      [[], []],
      [["-", "a.jsonl", "unix:e.sock"], ["-", "/app/a.jsonl", "unix:/app/e.sock"]],
    ],
    invalid: [
      "-",
      [""],
      ["unix:"],
      ["nats://host"],
      ["grpc://host"],
      ["http://host"],
      [1],
      ["-", "-"],
      ["a", "./a"],
      Array.from({ length: 17 }, (_, index) => `f${index}`),
    ],
  },
  "events.rotate_bytes": {
    valid: [[0, 0], ["0", 0], [4_096, 4_096], ["1TiB", TiB]],
    invalid: [1, 4_095, TiB + 1, -1, "4k"],
  },
  "events.sync": choice("flush", "fsync"),
  "events.on_sink_failure": choice("stop", "continue"),
};

function load(assigned: Readonly<Record<string, unknown>>, env: Readonly<Record<string, string>> = {}) {
  const values: Record<string, Record<string, unknown>> & Record<string, unknown> = {};
  for (const [key, value] of Object.entries(assigned)) {
    const [section, name] = key.split(".");
    if (section !== undefined && name === undefined) values[section] = value as Record<string, unknown>;
    else if (section !== undefined && name !== undefined) (values[section] ??= {})[name] = value;
  }
  return settingsFromValues({
    values,
    env: { HOME: "/home/user", ...env },
    cwd: "/app",
    platform: "linux",
    checkGrants: false,
  }).settings;
}

function valueAt(settings: unknown, key: SettingKey): unknown {
  const descriptor = DESCRIPTORS.find((candidate) => candidate.key === key);
  let value = settings;
  for (const name of descriptor === undefined ? [] : settingsPath(descriptor)) {
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value;
}

const onWindows = Deno.build.os === "windows" ? " (paths are POSIX here)" : "";

for (const descriptor of DESCRIPTORS) {
  const tables = descriptor.type === "rules" || descriptor.type === "overrides";
  const { valid, invalid, beside = {} } = CASES[descriptor.key];
  Deno.test({
    name: `loadSettings takes and refuses what the table says of ${descriptor.key}${onWindows}`,
    ignore: onWindows !== "",
    fn() {
      for (const [written, expected] of valid) {
        const settings = load({ ...beside, [descriptor.key]: written });
        assertEquals(
          valueAt(settings, descriptor.key),
          expected,
          `${descriptor.key} = ${JSON.stringify(written)}`,
        );
      }
      for (const written of invalid) {
        const error = assertThrows(
          () => load({ ...beside, [descriptor.key]: written }),
          StartError,
          descriptor.key,
          `${descriptor.key} = ${JSON.stringify(written)}`,
        );
        assertEquals(error.exitClass, "config_invalid");
        // What is wrong inside a list is said of the element.
        if (descriptor.type === "list" || tables) continue;
        assertStringIncludes(error.message, `; allowed: ${allowedText(descriptor)}`);
      }
    },
  });

  Deno.test({
    name: `loadSettings reads ${environmentName(descriptor.key)}${onWindows}`,
    ignore: onWindows !== "",
    fn() {
      for (const [written, expected] of valid) {
        const variable = tables ? JSON.stringify(written) : String(written);
        // An empty variable counts as unset.
        if (
          variable === "" || descriptor.type === "list" && variable.split(",").length < descriptor.minItems
        ) continue;
        const settings = load(beside, { [environmentName(descriptor.key)]: variable });
        assertEquals(valueAt(settings, descriptor.key), expected, variable);
      }
      const error = assertThrows(
        () => load(beside, { [environmentName(descriptor.key)]: invalidVariable(descriptor) }),
        StartError,
      );
      assertStringIncludes(error.message, `${environmentName(descriptor.key)}: ${descriptor.key}`);
    },
  });
}

/** Lists of paths refuse little; a NUL is never right. */
function invalidVariable(descriptor: typeof DESCRIPTORS[number]): string {
  return descriptor.type === "list" ? "a\0b c" : "\0";
}

Deno.test("every default is itself within what is allowed", () => {
  const defaults = load({});
  for (const descriptor of DESCRIPTORS) {
    const value = valueAt(defaults, descriptor.key);
    if (value === null || descriptor.type === "duration") continue;
    assertEquals(valueAt(load({ [descriptor.key]: value }), descriptor.key), value, descriptor.key);
  }
});
