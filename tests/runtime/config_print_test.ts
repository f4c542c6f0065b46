import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import fc from "fast-check";
import { parse } from "smol-toml";
import { configSchema, type JsonSchema } from "../../src/runtime/config/json_schema.ts";
import { settingsFromValues } from "../../src/runtime/config/load.ts";
import { printSettings } from "../../src/runtime/config/print.ts";
import { settingsMarkdown, settingsText } from "../../src/runtime/config/reference.ts";
import { DESCRIPTORS, environmentName } from "../../src/runtime/config/schema.ts";

function load(values: Readonly<Record<string, unknown>>) {
  return settingsFromValues({
    values,
    env: { HOME: "/home/user", LOCALAPPDATA: "C:\\data" },
    cwd: Deno.build.os === "windows" ? "C:\\work" : "/app",
    checkGrants: false,
  });
}

/** What `config print` wrote, read again as a file. */
function reread(printed: string): Readonly<Record<string, unknown>> {
  return parse(printed);
}

Deno.test("printSettings is a configuration file that gives the same settings", () => {
  const host = fc.constantFrom("a.example", "*.b.example:443", "10.0.0.0/8", "::1");
  const values = fc.record({
    listen: fc.uniqueArray(fc.integer({ min: 0, max: 65_535 }).map((port) => `127.0.0.1:${port}`), {
      minLength: 1,
      maxLength: 4,
    }),
    policy: fc.record({
      default: fc.constantFrom("intercept", "tunnel", "block"),
      ignore_hosts: fc.array(host, { maxLength: 3 }),
      rules: fc.uniqueArray(
        fc.record({
          id: fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }),
          hosts: fc.array(host, { minLength: 1, maxLength: 3 }),
          ports: fc.array(fc.integer({ min: 1, max: 65_535 }), { minLength: 1, maxLength: 3 }),
          paths: fc.constant(["/admin/*", '*".php']),
          methods: fc.constant(["GET", "M-SEARCH"]),
          sni: fc.array(fc.constantFrom("a.example", "*.b.example"), { minLength: 1, maxLength: 2 }),
          ja4: fc.constant(["t13d1516h2_8daaf6152771_e5627efa2ab1", "t12*"]),
          alpn: fc.constant(["h2"]),
          http3: fc.boolean(),
          action: fc.constantFrom("intercept", "tunnel", "block"),
        }, { requiredKeys: ["id", "hosts", "action"] }).filter((rule) =>
          rule.http3 !== true || (rule.action !== "block" && !("paths" in rule) && !("methods" in rule))
        ),
        { selector: ({ id }) => id, maxLength: 4 },
      ),
    }),
    overrides: fc.uniqueArray(
      fc.record({
        id: fc.string({ minLength: 1, maxLength: 20, unit: "grapheme" }),
        hosts: fc.array(host, { minLength: 1, maxLength: 3 }),
        disable_h2: fc.boolean(),
        skip_upstream_verify: fc.boolean(),
        strip_alt_svc: fc.boolean(),
        strict_headers: fc.boolean(),
        client_cert: fc.constant("/app/client.pem"),
        client_key: fc.constant("/app/client.key"),
        profile: fc.constantFrom("strict", "default", "compat"),
      }, { requiredKeys: ["id", "hosts", "profile"] }).filter((override) =>
        ("client_cert" in override) === ("client_key" in override)
      ),
      { selector: ({ id }) => id, maxLength: 3 },
    ),
    tls: fc.record({ ca_common_name: fc.stringMatching(/^[^\p{C}]{1,30}$/u) }),
    capture: fc.record({ body_bytes: fc.nat() }),
    limits: fc.record({ max_flows: fc.integer({ min: 1, max: 1_000_000 }) }),
    timeouts: fc.record({ idle: fc.integer({ min: 1, max: 604_800_000 }).map((ms) => `${ms}ms`) }),
    events: fc.record({
      sinks: fc.uniqueArray(fc.constantFrom("-", "a b.jsonl", 'quote".jsonl'), { maxLength: 3 }),
    }),
  });
  fc.assert(
    fc.property(values, (values) => {
      const loaded = load(values);
      const again = load(reread(printSettings(loaded)));
      assertEquals(again.settings, loaded.settings);
      assertEquals(again.digest, loaded.digest);
    }),
    { numRuns: 50 },
  );
});

Deno.test("printSettings names each key once, with its origin", () => {
  const loaded = settingsFromValues({
    env: { HOME: "/h", LOCALAPPDATA: "C:\\data", SOTH_MITM_TLS_PROFILE: "strict" },
    flags: { listen: ["127.0.0.1:1"] },
    cwd: "/",
    checkGrants: false,
  });
  const printed = printSettings(loaded);
  assertStringIncludes(printed, 'listen = ["127.0.0.1:1"]  # flag --listen\n');
  assertStringIncludes(printed, 'profile = "strict"  # env SOTH_MITM_TLS_PROFILE\n');
  assertStringIncludes(printed, 'max_in_flight_bytes = "64MiB"  # default\n');
  assertStringIncludes(printed, "# ca_cert_path is not set  # default\n");
  assertEquals(printed.split("\n").filter((line) => line.includes("  # ")).length, DESCRIPTORS.length);
});

Deno.test("configSchema accepts the defaults and what config print gives, refuses unknown keys", () => {
  const schema = configSchema();
  assertEquals(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
  const defaults = reread(printSettings(load({})));
  assertEquals(faults(schema, defaults, "$"), []);
  assertEquals(faults(schema, { $schema: "x", ...defaults }, "$"), []);
  for (const descriptor of DESCRIPTORS) {
    const found = schemaAt(schema, descriptor.key);
    if ("default" in found) assertEquals(faults(found, found["default"], descriptor.key), []);
    assertStringIncludes(String(found["description"]), descriptor.why);
  }
  const refused: unknown[] = [
    { lisen: [] },
    { tls: { profil: "strict" } },
    { tls: { profile: "strikt" } },
    { timeouts: { head: 30 } },
    { timeouts: { head: "30" } },
    { limits: { max_flows: 0 } },
    { capture: { body_bytes: -1 } },
    { capture: { body_bytes: "1 KiB" } },
    { events: { rotate_bytes: 1 } },
    { policy: { rules: [{ id: "a", hosts: ["*"] }] } },
    { policy: { rules: [{ id: "a", hosts: ["*"], action: "block", ports: [0] }] } },
    { capture: { redact_headers: ["a b"] } },
    { listen: [] },
  ];
  for (const value of refused) assert(faults(schema, value, "$").length > 0, JSON.stringify(value));
});

function schemaAt(schema: JsonSchema, key: string): JsonSchema {
  return key.split(".").reduce(
    (at, name) => (at["properties"] as Record<string, JsonSchema>)[name] ?? {},
    schema,
  );
}

/** As much of JSON Schema as the schema uses; a word it does not know is a fault of this test. */
function faults(schema: JsonSchema, value: unknown, at: string): string[] {
  const found: string[] = [];
  const refuse = (why: string) => found.push(`${at}: ${why}`);
  for (const [word, argument] of Object.entries(schema)) {
    switch (word) {
      case "$schema":
      case "title":
      case "description":
      case "default":
        break;
      case "type":
        if (!hasType(value, String(argument))) refuse(`not of type ${argument}`);
        break;
      case "enum":
        if (!(argument as unknown[]).includes(value)) refuse("not in enum");
        break;
      case "const":
        if (value !== argument) refuse(`not ${argument}`);
        break;
      case "anyOf":
        if ((argument as JsonSchema[]).every((one) => faults(one, value, at).length > 0)) {
          refuse("none of anyOf");
        }
        break;
      case "pattern":
        if (typeof value === "string" && !new RegExp(String(argument), "u").test(value)) refuse("pattern");
        break;
      case "minimum":
        if (typeof value === "number" && value < Number(argument)) refuse("too small");
        break;
      case "maximum":
        if (typeof value === "number" && value > Number(argument)) refuse("too large");
        break;
      case "minLength":
        if (typeof value === "string" && [...value].length < Number(argument)) refuse("too short");
        break;
      case "maxLength":
        if (typeof value === "string" && [...value].length > Number(argument)) refuse("too long");
        break;
      case "minItems":
        if (Array.isArray(value) && value.length < Number(argument)) refuse("too few");
        break;
      case "maxItems":
        if (Array.isArray(value) && value.length > Number(argument)) refuse("too many");
        break;
      case "items":
        if (Array.isArray(value)) {
          value.forEach((item, index) =>
            found.push(...faults(argument as JsonSchema, item, `${at}[${index}]`))
          );
        }
        break;
      case "required":
        for (const name of argument as string[]) {
          if (hasType(value, "object") && !Object.hasOwn(value as object, name)) refuse(`${name} is missing`);
        }
        break;
      case "additionalProperties":
        assertEquals(argument, false);
        break;
      case "properties":
        if (!hasType(value, "object")) break;
        for (const [name, item] of Object.entries(value as object)) {
          const property = (argument as Record<string, JsonSchema>)[name];
          if (property === undefined) refuse(`${name} is unknown`);
          else found.push(...faults(property, item, `${at}.${name}`));
        }
        break;
      default:
        throw new Error(`The schema uses ${word}, which this test does not know`);
    }
  }
  return found;
}

function hasType(value: unknown, type: string): boolean {
  if (type === "integer") return Number.isInteger(value);
  if (type === "array") return Array.isArray(value);
  if (type === "object") return typeof value === "object" && value !== null && !Array.isArray(value);
  const found: string = typeof value;
  return found === type;
}

Deno.test("the reference names every key, its default and its variable", () => {
  const markdown = settingsMarkdown();
  const text = settingsText();
  for (const descriptor of DESCRIPTORS) {
    assertStringIncludes(markdown, `| \`${descriptor.key}\` | `);
    assertStringIncludes(text, environmentName(descriptor.key));
  }
  const columns = new Set(
    markdown.trim().split("\n").map((row) => row.replaceAll("\\|", "").split("|").length),
  );
  assertEquals([...columns], [6]);
});

Deno.test("the README's table of settings is the one that the program has", async () => {
  const readme = await Deno.readTextFile("README.md");
  const table = readme.split("<!-- settings -->")[1]?.split("<!-- /settings -->")[0] ?? "";
  assertEquals(cells(table), cells(settingsMarkdown()), "print it anew with settingsMarkdown()");
});

/** A Markdown table without the spaces and dashes that line it up. */
function cells(table: string): string[][] {
  return table.trim().split("\n").map((row) =>
    row.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim().replace(/^-+$/, "---"))
  );
}
