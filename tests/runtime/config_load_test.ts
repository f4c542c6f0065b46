import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { defaultStateDirectory } from "../../src/runtime/config/directories.ts";
import { CONFIG_FILE_BYTES_MAX } from "../../src/runtime/config/file.ts";
import { type LoadOptions, loadSettings, settingsFromValues } from "../../src/runtime/config/load.ts";
import { missingGrants } from "../../src/runtime/config/grants.ts";
import { DESCRIPTORS } from "../../src/runtime/config/schema.ts";
import { readDefaults } from "../../src/runtime/config/sources.ts";
import { StartError } from "../../src/runtime/start_error.ts";

const ENVIRONMENT = { HOME: "/home/user", LOCALAPPDATA: "C:\\Users\\user\\AppData\\Local" };

async function withFiles(
  files: Readonly<Record<string, string | Uint8Array>>,
  run: (directory: string) => Promise<void>,
) {
  const directory = await Deno.makeTempDir({ prefix: "soth_mitm_config_" });
  try {
    for (const [name, content] of Object.entries(files)) {
      const path = join(directory, name);
      if (typeof content === "string") await Deno.writeTextFile(path, content);
      else await Deno.writeFile(path, content);
    }
    await run(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

function load(options: Partial<LoadOptions> & { cwd: string }) {
  return loadSettings({ env: ENVIRONMENT, checkGrants: false, ...options });
}

async function messageOf(options: Partial<LoadOptions> & { cwd: string }): Promise<string> {
  const error = await assertRejects(() => load(options), StartError);
  assertEquals(error.exitClass, "config_invalid");
  return error.message;
}

Deno.test("loadSettings prefers flag to environment to file to default, and says which it was", async () => {
  await withFiles({ "c.toml": '[policy]\ndefault = "tunnel"\n' }, async (cwd) => {
    const steps: [Partial<LoadOptions>, string, string, string][] = [
      [{}, "intercept", "default", ""],
      [{ configPath: "c.toml" }, "tunnel", "file", "c.toml"],
      [
        { configPath: "c.toml", env: { ...ENVIRONMENT, SOTH_MITM_POLICY_DEFAULT: "block" } },
        "block",
        "env",
        "SOTH_MITM_POLICY_DEFAULT",
      ],
      [
        {
          configPath: "c.toml",
          env: { ...ENVIRONMENT, SOTH_MITM_POLICY_DEFAULT: "block" },
          flags: { defaultAction: "intercept" },
        },
        "intercept",
        "flag",
        "--default",
      ],
    ];
    for (const [options, value, source, name] of steps) {
      const { settings, origins } = await load({ cwd, ...options });
      assertEquals(settings.policy.default, value);
      assertEquals(origins.get("policy.default"), { source, name } as never);
    }
  });
});

Deno.test("loadSettings puts rules of flags before rules of the file, in the order given", async () => {
  await withFiles({
    "c.toml": '[[policy.rules]]\nid = "filed"\nhosts = ["c.example"]\naction = "block"\n',
  }, async (cwd) => {
    const { settings, origins } = await load({
      cwd,
      configPath: "c.toml",
      flags: {
        rules: [{ action: "tunnel", pattern: "a.example" }, {
          action: "intercept",
          pattern: "*.example:443",
        }],
      },
    });
    assertEquals(settings.policy.rules, [
      { id: "flag-1", hosts: ["a.example"], action: "tunnel" },
      { id: "flag-2", hosts: ["*.example:443"], action: "intercept" },
      { id: "filed", hosts: ["c.example"], action: "block" },
    ]);
    assertEquals(origins.get("policy.rules"), {
      source: "flag",
      name: "--tunnel --intercept, then c.toml",
    });
  });
});

Deno.test("loadSettings takes --reverse for the mode and the origin, over those of a file", async () => {
  await withFiles(
    { "c.toml": '[route]\nmode = "reverse"\nreverse_origin = "http://a.example"\n' },
    async (cwd) => {
      assertEquals(
        (await load({ cwd, configPath: "c.toml" })).settings.route.reverseOrigin,
        "http://a.example:80",
      );
      const flags = { reverse: "https://B.example" };
      for (const place of [{ cwd, configPath: "c.toml" }, { cwd }]) {
        const { settings, origins } = await load({ ...place, flags });
        assertEquals(settings.route, { mode: "reverse", reverseOrigin: "https://b.example:443" });
        assertEquals(origins.get("route.mode"), { source: "flag", name: "--reverse" });
      }
    },
  );
  const message = await messageOf({ cwd: "/", flags: { reverse: "b.example:443" } });
  assertStringIncludes(message, "--reverse: route.reverse_origin: found ");
});

Deno.test("loadSettings names a flag's pattern that is none", async () => {
  const message = await messageOf({ cwd: "/", flags: { rules: [{ action: "block", pattern: "a b" }] } });
  assertStringIncludes(message, "--block: policy.rules[0].hosts[0]: ");
  assertStringIncludes(message, '"a b"');
});

Deno.test("loadSettings gives the same settings from TOML, JSON and JSONC", async () => {
  await withFiles({
    "c.toml": [
      'listen = ["127.0.0.1:1", "[::1]:2"]',
      'state_dir = "state"',
      "[policy]",
      'default = "tunnel"',
      'rules = [{ id = "a", hosts = ["x.example"], ports = [443], action = "block" }]',
      "[limits]",
      "max_flows = 7",
      'max_in_flight_bytes = "2MiB"',
      "[timeouts]",
      'head = "2s"',
    ].join("\n"),
    "c.json": JSON.stringify({
      $schema: "./schema.json",
      listen: ["127.0.0.1:1", "[::1]:2"],
      state_dir: "state",
      policy: {
        default: "tunnel",
        rules: [{ id: "a", hosts: ["x.example"], ports: [443], action: "block" }],
      },
      limits: { max_flows: 7, max_in_flight_bytes: 2_097_152 },
      timeouts: { head: "2s" },
    }),
    "c.jsonc": `{
      // where clients come
      "listen": ["127.0.0.1:1", "[::1]:2",],
      "state_dir": "state",
      "policy": { "default": "tunnel",
        "rules": [{ "id": "a", "hosts": ["x.example"], "ports": [443], "action": "block" }] },
      "limits": { "max_flows": 7, "max_in_flight_bytes": "2MiB" }, /* two */
      "timeouts": { "head": "2000ms" },
    }`,
  }, async (cwd) => {
    const [toml, json, jsonc] = await Promise.all(
      ["c.toml", "c.json", "c.jsonc"].map((configPath) => load({ cwd, configPath })),
    );
    assertEquals(toml?.settings.stateDir, join(cwd, "state"));
    assertEquals(toml?.settings.timeouts.headMs, 2_000);
    assertEquals(json?.settings, toml?.settings);
    assertEquals(jsonc?.settings, toml?.settings);
    assertEquals(json?.digest, toml?.digest);
    assertEquals(jsonc?.digest, toml?.digest);
  });
});

Deno.test("loadSettings resolves paths of a file against the file, of flags and environment against cwd", async () => {
  await withFiles(
    { "c.toml": '[tls]\nupstream_ca_bundle = "roots.pem"\n[events]\nsinks = ["e.jsonl"]\n' },
    async (directory) => {
      const { settings } = await load({
        cwd: join(directory, "elsewhere"),
        configPath: "../c.toml",
        env: { ...ENVIRONMENT, SOTH_MITM_STATE_DIR: "state" },
        flags: { sinks: ["f.jsonl", "-"] },
      });
      assertEquals(settings.tls.upstreamCaBundle, join(directory, "roots.pem"));
      assertEquals(settings.stateDir, join(directory, "elsewhere", "state"));
      assertEquals(settings.events.sinks, [join(directory, "elsewhere", "f.jsonl"), "-"]);
    },
  );
});

Deno.test("loadSettings reports everything that is wrong at once, each with file, key, found and allowed", async () => {
  await withFiles({
    "c.toml": [
      'listen = ["nowhere"]',
      "[tls]",
      'profile = "strikt"',
      'profil = "strict"',
      "[timeouts]",
      "head = 30",
      "[limits]",
      "flow_buffer_bytes = 1",
    ].join("\n"),
  }, async (cwd) => {
    const message = await messageOf({
      cwd,
      configPath: "c.toml",
      env: { ...ENVIRONMENT, SOTH_MITM_LIMITS_MAX_FLOWS: "none" },
      flags: { defaultAction: "drop" },
    });
    assertEquals(message.split("\n"), [
      "the configuration has 7 errors:",
      '  c.toml: listen[0]: found "nowhere": it has no port; allowed: host:port, [v6]:port or unix:/path, such as "127.0.0.1:8080"',
      '  c.toml: tls.profile: found "strikt"; allowed: "strict", "default", "compat" (did you mean "strict"?)',
      '  c.toml: tls.profil: unknown key (did you mean "tls.profile"?)',
      '  c.toml: timeouts.head: found 30; allowed: 1ms to 1h, such as "500ms", "30s", "5m", "2h", "1d"',
      '  c.toml: limits.flow_buffer_bytes: found 1; allowed: 16KiB to 1GiB, a number of bytes or a text such as "64KiB", "1MiB", "10kB"',
      '  SOTH_MITM_LIMITS_MAX_FLOWS: limits.max_flows: found "none"; allowed: 1 to 1000000, a whole number',
      '  --default: policy.default: found "drop"; allowed: "intercept", "tunnel", "block" (did you mean "block"?)',
    ]);
  });
});

Deno.test("loadSettings says on which line of a JSON file a wrong value stands", async () => {
  await withFiles({ "c.json": '{\n"tls": {\n"profile": "strikt",\n"profil": 1}}' }, async (cwd) => {
    assertEquals((await messageOf({ cwd, configPath: "c.json" })).split("\n"), [
      "the configuration has 2 errors:",
      '  c.json:3: tls.profile: found "strikt"; allowed: "strict", "default", "compat" (did you mean "strict"?)',
      '  c.json:4: tls.profil: unknown key (did you mean "tls.profile"?)',
    ]);
  });
});

Deno.test("loadSettings refuses unknown keys, sections and variables with the nearest known one", async () => {
  const cases: [string, string][] = [
    ["lisen = []", 'lisen: unknown key (did you mean "listen"?)'],
    ["max_flows = 1", 'max_flows: unknown key (did you mean "limits.max_flows"?)'],
    ["[timeout]\nhead = 1", 'timeout: unknown key (did you mean "timeouts"?)'],
    ["[policy]\nignore_host = []", 'policy.ignore_host: unknown key (did you mean "policy.ignore_hosts"?)'],
    ["[http]\nhttp3 = true", "http.http3: unknown key"],
    ["tls = 1", "tls: found 1; allowed: a table of settings"],
    ["__proto__ = 1", "__proto__: unknown key"],
    ["[tls]\n__proto__.profile = 1", "tls.__proto__: unknown key"],
    ["[limits]\nmax_flows = 2026-01-01", "limits.max_flows: found a date or time; allowed: 1 to 1000000"],
    ['[tls]\nprofile.x = "strict"', "tls.profile: found a table"],
    ['"$schema" = "x"', "$schema: unknown key"],
  ];
  for (const [content, expected] of cases) {
    await withFiles({ "c.toml": content }, async (cwd) => {
      assertStringIncludes(await messageOf({ cwd, configPath: "c.toml" }), expected);
    });
  }
  assertEquals(
    await messageOf({ cwd: "/", env: { ...ENVIRONMENT, SOTH_MITM_TLS_PROFIL: "strict" } }),
    "SOTH_MITM_TLS_PROFIL: unknown variable (did you mean SOTH_MITM_TLS_PROFILE?)",
  );
});

Deno.test("loadSettings gives line and column of a syntax error", async () => {
  await withFiles(
    { "c.toml": "listen = []\n[tls\n", "c.json": '{\n "a": 1,\n}', "c.jsonc": "{\n // x\n a" },
    async (cwd) => {
      assertEquals(
        await messageOf({ cwd, configPath: "c.toml" }),
        'c.toml:2: column 5: illegal character in key; found "[tls"',
      );
      assertEquals(
        await messageOf({ cwd, configPath: "c.json" }),
        'c.json:3: column 1: found "}" after a ","; JSON has no trailing commas, a .jsonc file may have them',
      );
      assertStringIncludes(await messageOf({ cwd, configPath: "c.jsonc" }), "c.jsonc:3: column 2: ");
    },
  );
});

Deno.test("loadSettings says why a file cannot be read", async () => {
  await withFiles({
    "c.yaml": "",
    "latin.toml": new Uint8Array([0x61, 0xe9]),
    "large.toml": "#".repeat(CONFIG_FILE_BYTES_MAX + 1),
    "list.json": "[]",
    "full.toml": "#".repeat(CONFIG_FILE_BYTES_MAX),
  }, async (cwd) => {
    const cases: [string, string][] = [
      ["missing.toml", "missing.toml: there is no such file"],
      ["c.yaml", "c.yaml: the name must end in .toml, .json or .jsonc"],
      ["latin.toml", "latin.toml: it is not UTF-8 text"],
      ["large.toml", `large.toml: it is larger than ${CONFIG_FILE_BYTES_MAX} bytes`],
      ["list.json", "list.json:1: found a list of 0; allowed: an object of settings"],
    ];
    for (const [configPath, expected] of cases) assertEquals(await messageOf({ cwd, configPath }), expected);
    await load({ cwd, configPath: "full.toml" });
  });
});

Deno.test("loadSettings refuses settings that contradict each other", async () => {
  const cases: [Record<string, unknown>, string][] = [
    [
      { tls: { ca_cert_path: "a" } },
      "tls.ca_cert_path: found without tls.ca_key_path; allowed: both or neither",
    ],
    [
      { tls: { ca_key_path: "a" } },
      "tls.ca_key_path: found without tls.ca_cert_path; allowed: both or neither",
    ],
    [
      { tls: { profile: "strict", upstream_sni_mode: "disabled" } },
      'tls.upstream_sni_mode: found "disabled" with tls.profile = "strict"',
    ],
    [
      { route: { mode: "reverse" } },
      'route.mode: found "reverse" without route.reverse_origin; allowed: both or neither',
    ],
    [
      { route: { reverse_origin: "https://a" } },
      'route.reverse_origin: found without route.mode = "reverse"; allowed: both or neither',
    ],
    [
      {
        overrides: [{ id: "a", hosts: ["*"], profile: "strict" }],
        tls: { upstream_sni_mode: "disabled" },
      },
      'overrides: override 1: the profile "strict" does not go with tls.upstream_sni_mode = "disabled"',
    ],
    [
      { http: { max_head_bytes: 1_048_577 } },
      "http.max_head_bytes: found 1048577; allowed: at most limits.flow_buffer_bytes (1048576)",
    ],
    [
      { limits: { flow_buffer_bytes: "65MiB" } },
      "limits.flow_buffer_bytes: found 68157440; allowed: at most limits.max_in_flight_bytes (67108864)",
    ],
    [
      { policy: { rules: [1, 2].map(() => ({ id: "a", hosts: ["*"], action: "block" })) } },
      'policy.rules: rule 2: the id "a" is taken',
    ],
  ];
  for (const [values, expected] of cases) {
    assertStringIncludes(await messageOf({ cwd: "/", values }), `options: ${expected}`);
  }
  await load({
    cwd: "/",
    values: { http: { max_head_bytes: 1_048_576 }, limits: { flow_buffer_bytes: "1MiB" } },
  });
});

Deno.test("loadSettings warns of what is allowed but perhaps not meant", async () => {
  const { warnings } = await load({
    cwd: "/",
    values: {
      listen: ["0.0.0.0:1", "127.9.9.9:1", "[::1]:1", "localhost:1", "[::]:1"],
      policy: { ignore_hosts: ["a.example", "b.example"], block_hosts: ["b.example"] },
      overrides: [
        { id: "h1", hosts: ["c.example"], disable_h2: true },
        { id: "lax", hosts: ["d.example", "e.example"], skip_upstream_verify: true },
      ],
    },
  });
  assertEquals(warnings.length, 4);
  assertStringIncludes(warnings[0] ?? "", "0.0.0.0:1 is not a loopback address");
  assertStringIncludes(warnings[1] ?? "", "[::]:1 is not a loopback address");
  assertStringIncludes(warnings[2] ?? "", '"lax" skips the verification of d.example, e.example');
  assertStringIncludes(warnings[3] ?? "", "b.example is also in policy.block_hosts, which wins");
  assertEquals((await load({ cwd: "/" })).warnings, []);
});

Deno.test("loadSettings' digest depends on the effective settings, not on where they came from", async () => {
  const base = await load({ cwd: "/" });
  assert(/^[0-9a-f]{64}$/.test(base.digest));
  const same = await load({ cwd: "/", flags: { listen: ["127.0.0.1:8080"] } });
  assertEquals(same.digest, base.digest);
  const other = await load({ cwd: "/", flags: { listen: ["127.0.0.1:8081"] } });
  assert(other.digest !== base.digest);
});

Deno.test("an empty variable counts as unset", async () => {
  const { origins } = await load({ cwd: "/", env: { ...ENVIRONMENT, SOTH_MITM_TLS_PROFILE: "" } });
  assertEquals(origins.get("tls.profile"), { source: "default", name: "" });
});

Deno.test("defaultStateDirectory is the platform's data directory", () => {
  const home = { HOME: "/home/user" };
  const expected: [Record<string, string>, typeof Deno.build.os, string | null][] = [
    [home, "linux", "/home/user/.local/share/soth-mitm"],
    [{ ...home, XDG_DATA_HOME: "/data" }, "linux", "/data/soth-mitm"],
    [{ ...home, XDG_DATA_HOME: "relative" }, "linux", "/home/user/.local/share/soth-mitm"],
    [{ XDG_DATA_HOME: "/data" }, "freebsd", "/data/soth-mitm"],
    [home, "darwin", "/home/user/Library/Application Support/soth-mitm"],
    [{}, "linux", null],
    [{ HOME: "" }, "darwin", null],
    [{}, "windows", null],
    [{ LOCALAPPDATA: "C:\\Users\\u\\AppData\\Local" }, "windows", "C:\\Users\\u\\AppData\\Local"],
    [{ USERPROFILE: "C:\\Users\\u" }, "windows", "C:\\Users\\u"],
  ];
  for (const [environment, platform, directory] of expected) {
    const found = defaultStateDirectory(environment, platform);
    if (directory === null) assert(typeof found !== "string");
    else if (platform === "windows") assertStringIncludes(String(found), directory);
    else if (Deno.build.os !== "windows") assertEquals(found, directory);
  }
});

Deno.test("loadSettings asks for state_dir where the platform gives none", async () => {
  const message = await messageOf({ cwd: "/", env: {}, platform: "linux" });
  assertEquals(
    message,
    "state_dir: HOME is not set, so there is no default; allowed: the path of a directory (--state-dir DIR)",
  );
  const { settings } = await load({ cwd: "/", env: {}, flags: { stateDir: "/s" }, platform: "linux" });
  assert(settings.stateDir.endsWith("s"));
});

Deno.test({
  name: "loadSettings names the grant that a path needs",
  permissions: { read: ["/granted"], write: ["/granted"] },
  ignore: Deno.build.os === "windows",
  async fn() {
    const granted = settingsFromValues({ cwd: "/granted", values: { state_dir: "s" } });
    assertEquals(granted.settings.stateDir, "/granted/s");
    assertEquals(missingGrants(granted.settings), []);
    // Segments of a rotated log are made beside it.
    const events = { sinks: ["/granted/e.jsonl"], rotate_bytes: "1MiB" };
    const rotated = settingsFromValues({ cwd: "/granted", values: { state_dir: "s", events } });
    assertEquals(missingGrants(rotated.settings), []);
    const error = await assertRejects(
      () =>
        loadSettings({
          cwd: "/granted",
          values: {
            state_dir: "/elsewhere",
            tls: { upstream_ca_bundle: "/roots.pem", upstream_trust: "/trust.pem" },
            events: { sinks: ["log.jsonl", "/var/log.jsonl", "unix:/run/x.sock"] },
          },
        }),
      StartError,
    );
    assertEquals(error.message.split("\n"), [
      "the configuration has 5 errors:",
      "  options: state_dir: reading and writing /elsewhere is not granted; run with --allow-read=/elsewhere --allow-write=/elsewhere",
      "  options: tls.upstream_trust: reading /trust.pem is not granted; run with --allow-read=/trust.pem",
      "  options: tls.upstream_ca_bundle: reading /roots.pem is not granted; run with --allow-read=/roots.pem",
      "  options: events.sinks: reading and writing /var/log.jsonl is not granted; run with --allow-read=/var/log.jsonl --allow-write=/var/log.jsonl",
      "  options: events.sinks: reading and writing /run/x.sock is not granted; run with --allow-read=/run/x.sock --allow-write=/run/x.sock",
    ]);
    const unreadable = await assertRejects(
      () => loadSettings({ cwd: "/granted", configPath: "/elsewhere/c.toml", values: { state_dir: "s" } }),
      StartError,
    );
    assertEquals(
      unreadable.message,
      "/elsewhere/c.toml: reading it is not granted; run with --allow-read=/elsewhere/c.toml",
    );
  },
});

Deno.test("readDefaults gives every key of the table once, in its order", () => {
  assertEquals(
    readDefaults({ cwd: "/", env: ENVIRONMENT }).map(({ key }) => key),
    DESCRIPTORS.map(({ key }) => key),
  );
});
