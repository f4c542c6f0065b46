/** `config schema`: the table of settings as JSON Schema, draft 2020-12, for editors and other checkers. */
import { JA4, PROTOCOL_NAME } from "../../policy/hello.ts";
import { METHOD, PATH_GLOB_LENGTH_MAX } from "../../policy/path.ts";
import { ACTIONS, type Descriptor, DESCRIPTORS, type ListItem, TLS_PROFILES } from "./schema.ts";
import { DURATION_PATTERN, formatDuration, formatSize, SIZE_PATTERN } from "./units.ts";
import {
  allowedText,
  FIELD_NAME_PATTERN,
  RULE_HELLO_MAX,
  RULE_HOSTS_MAX,
  RULE_ID_CHARACTERS_MAX,
  RULE_METHODS_MAX,
  RULE_PATHS_MAX,
  RULE_PORTS_MAX,
} from "./values.ts";

export type JsonSchema = { [key: string]: unknown };

export function configSchema(): JsonSchema {
  const root: Section = { $schema: { type: "string", description: "Where an editor finds this schema." } };
  for (const descriptor of DESCRIPTORS) {
    const path = descriptor.key.split(".");
    const name = path.pop() ?? "";
    let section = root;
    for (const part of path) {
      const object = (section[part] ??= objectSchema({})) as { properties: Section };
      section = object.properties;
    }
    section[name] = { description: describe(descriptor), ...schemaOf(descriptor) };
  }
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "soth-mitm configuration",
    ...objectSchema(root),
  };
}

type Section = { [name: string]: JsonSchema };

function objectSchema(properties: Section): JsonSchema {
  return { type: "object", additionalProperties: false, properties };
}

function describe(descriptor: Descriptor): string {
  return `${descriptor.why} Allowed: ${allowedText(descriptor)}.`;
}

function schemaOf(descriptor: Descriptor): JsonSchema {
  switch (descriptor.type) {
    case "duration":
      return { type: "string", pattern: DURATION_PATTERN, default: formatDuration(descriptor.default) };
    case "size": {
      const range = { type: "integer", minimum: descriptor.min, maximum: descriptor.max };
      const zero = descriptor.zero === undefined ? [] : [{ const: 0 }];
      const size = formatSize(descriptor.default);
      return {
        anyOf: [...zero, range, { type: "string", pattern: SIZE_PATTERN }],
        default: size === String(descriptor.default) ? descriptor.default : size,
      };
    }
    case "count":
      return {
        type: "integer",
        minimum: descriptor.min,
        maximum: descriptor.max,
        default: descriptor.default,
      };
    case "switch":
      return { type: "boolean", default: descriptor.default };
    case "choice":
      return { enum: [...descriptor.choices], default: descriptor.default };
    case "text":
      return {
        type: "string",
        minLength: 1,
        maxLength: descriptor.maxCharacters,
        default: descriptor.default,
      };
    case "choice_or_path":
      return { type: "string", minLength: 1, default: descriptor.default };
    case "optional_origin":
      return { type: "string", pattern: "^[Hh][Tt][Tt][Pp][Ss]?://[^/?#@]+/?$" };
    case "directory":
    case "optional_path":
      return { type: "string", minLength: 1 };
    case "list":
      return {
        type: "array",
        items: itemSchema(descriptor.item),
        minItems: descriptor.minItems,
        maxItems: descriptor.maxItems,
        default: [...descriptor.default],
      };
    case "overrides":
      return { type: "array", items: overrideSchema(), maxItems: descriptor.maxItems, default: [] };
    case "rules":
      return { type: "array", items: ruleSchema(), maxItems: descriptor.maxItems, default: [] };
  }
}

function itemSchema(item: ListItem): JsonSchema {
  return item === "field_name"
    ? { type: "string", pattern: FIELD_NAME_PATTERN }
    : { type: "string", minLength: 1 };
}

function overrideSchema(): JsonSchema {
  const action = { type: "boolean", default: false };
  return {
    ...objectSchema({
      id: { type: "string", minLength: 1, maxLength: RULE_ID_CHARACTERS_MAX },
      hosts: { type: "array", items: itemSchema("pattern"), minItems: 1, maxItems: RULE_HOSTS_MAX },
      force_tunnel: action,
      http3: action,
      disable_h2: action,
      skip_upstream_verify: action,
      strip_alt_svc: action,
      strict_headers: { type: "boolean", default: true },
      profile: { enum: [...TLS_PROFILES] },
      client_cert: { type: "string", minLength: 1 },
      client_key: { type: "string", minLength: 1 },
    }),
    required: ["id", "hosts"],
  };
}

function textsSchema({ source }: RegExp): JsonSchema {
  return { type: "array", items: { type: "string", pattern: source }, minItems: 1, maxItems: RULE_HELLO_MAX };
}

function ruleSchema(): JsonSchema {
  return {
    ...objectSchema({
      id: { type: "string", minLength: 1, maxLength: RULE_ID_CHARACTERS_MAX },
      hosts: { type: "array", items: itemSchema("pattern"), minItems: 1, maxItems: RULE_HOSTS_MAX },
      ports: {
        type: "array",
        items: { type: "integer", minimum: 1, maximum: 65_535 },
        minItems: 1,
        maxItems: RULE_PORTS_MAX,
      },
      paths: {
        type: "array",
        items: { type: "string", pattern: "^[/*]", maxLength: PATH_GLOB_LENGTH_MAX },
        minItems: 1,
        maxItems: RULE_PATHS_MAX,
      },
      methods: {
        type: "array",
        items: { type: "string", pattern: METHOD.source },
        minItems: 1,
        maxItems: RULE_METHODS_MAX,
      },
      sni: { type: "array", items: itemSchema("pattern"), minItems: 1, maxItems: RULE_HELLO_MAX },
      ja4: textsSchema(JA4),
      alpn: textsSchema(PROTOCOL_NAME),
      http3: { type: "boolean", default: false },
      action: { enum: [...ACTIONS] },
    }),
    required: ["id", "hosts", "action"],
  };
}
