/**
 * The one table of settings. Defaults, the file loader, environment variables, `config print`,
 * `config schema` and the README's table are all read off it; the types at the end make the compiler
 * prove that it describes exactly what `core/settings.ts` declares. A key that is not here is unknown:
 * there is no option that is accepted and does nothing.
 */
import type { HostOverride, PolicyRule, Settings } from "../../core/settings.ts";

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
const TiB = 1024 * GiB;
const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** What one element of a list is; `values.ts` holds the check of each. */
export type ListItem = "address" | "pattern" | "sink" | "field_name";

interface Described {
  /** As in a file: `tls.profile`. */
  readonly key: string;
  /** One sentence for the reader of `config schema` and the README. */
  readonly why: string;
}

/** A whole number in a range. `never` is what 0 means where the range itself does not hold 0. */
interface Ranged {
  readonly default: number;
  readonly min: number;
  readonly max: number;
  readonly zero?: string;
}

export type Descriptor =
  | Described & Ranged & { readonly type: "duration" | "size" | "count" }
  | Described & { readonly type: "switch"; readonly default: boolean }
  | Described & { readonly type: "choice"; readonly choices: readonly string[]; readonly default: string }
  | Described & { readonly type: "text"; readonly maxCharacters: number; readonly default: string }
  | Described & { readonly type: "directory" }
  | Described & { readonly type: "optional_path" }
  | Described & { readonly type: "optional_origin" }
  | Described & {
    readonly type: "choice_or_path";
    readonly choices: readonly string[];
    readonly default: string;
  }
  | Described & {
    readonly type: "list";
    readonly item: ListItem;
    readonly minItems: number;
    readonly maxItems: number;
    readonly default: readonly string[];
  }
  | Described & { readonly type: "rules" | "overrides"; readonly maxItems: number };

export const ACTIONS = ["intercept", "tunnel", "block"] as const;
export const TLS_PROFILES = ["strict", "default", "compat"] as const;

export const DESCRIPTORS = [
  {
    key: "listen",
    type: "list",
    item: "address",
    minItems: 1,
    maxItems: 64,
    default: ["127.0.0.1:8080"],
    why: "Where clients reach the proxy; port 0 takes a free one.",
  },
  {
    key: "state_dir",
    type: "directory",
    why: "Holds the CA and learned state; created for its owner alone.",
  },
  {
    key: "overrides",
    type: "overrides",
    maxItems: 10_000,
    why: "Tables of id, hosts and what holds for them alone; the first match acts, never against a block.",
  },
  {
    key: "route.mode",
    type: "choice",
    choices: ["forward", "reverse"],
    default: "forward",
    why: "Forward: clients name the server they want. Reverse: all that is accepted goes to one origin.",
  },
  {
    key: "route.reverse_origin",
    type: "optional_origin",
    why: 'The origin behind the listeners in reverse mode; with route.mode = "reverse" or not at all.',
  },
  {
    key: "policy.default",
    type: "choice",
    choices: ACTIONS,
    default: "intercept",
    why: "What happens to a host that no rule and no list names.",
  },
  {
    key: "policy.ignore_hosts",
    type: "list",
    item: "pattern",
    minItems: 0,
    maxItems: 10_000,
    default: [],
    why: "Hosts to tunnel untouched.",
  },
  {
    key: "policy.block_hosts",
    type: "list",
    item: "pattern",
    minItems: 0,
    maxItems: 10_000,
    default: [],
    why: "Hosts to refuse; wins over ignore_hosts.",
  },
  {
    key: "policy.rules",
    type: "rules",
    maxItems: 10_000,
    why: "Tables of id, hosts, action, and further conditions; the first match wins, before the lists.",
  },
  {
    key: "http.connect_parse_mode",
    type: "choice",
    choices: ["strict", "lenient"],
    default: "strict",
    why: "Lenient accepts a lower-case method, a missing port and an https:// authority in CONNECT.",
  },
  {
    key: "http.max_head_bytes",
    type: "size",
    min: KiB,
    max: 16 * MiB,
    default: 64 * KiB,
    why: "The largest request or response head; a larger one gets 431.",
  },
  {
    key: "http.max_header_fields",
    type: "count",
    min: 1,
    max: 65_536,
    default: 256,
    why: "The most field lines in a head, header block or trailer section.",
  },
  {
    key: "http.http3_passthrough",
    type: "switch",
    default: true,
    why: "Whether flows designated HTTP/3 are tunnelled; without it what policy says of them holds.",
  },
  {
    key: "http.http2_enabled",
    type: "switch",
    default: true,
    why: "Whether intercepted connections may speak HTTP/2; without it h2 is left out of what is offered.",
  },
  {
    key: "http.http2_max_header_list_size",
    type: "size",
    min: KiB,
    max: 16 * MiB,
    default: 64 * KiB,
    why: "The largest HTTP/2 header list, counted as in RFC 9113 6.5.2; a larger one ends its stream.",
  },
  {
    key: "http.http2_max_table_size",
    type: "size",
    min: 4 * KiB,
    max: 16 * MiB,
    default: 64 * KiB,
    why: "The largest HPACK table an HTTP/2 peer may use; a larger one ends the connection.",
  },
  {
    key: "http.http2_max_continuations",
    type: "count",
    min: 0,
    max: 65_536,
    default: 32,
    why: "The most CONTINUATION frames behind one HEADERS or PUSH_PROMISE.",
  },
  {
    key: "http.http2_max_streams",
    type: "count",
    min: 1,
    max: 1_000_000,
    default: 2_048,
    why: "HTTP/2 streams open at once on one connection; one more is refused alone.",
  },
  {
    key: "http.http2_flood_window",
    type: "duration",
    min: 1,
    max: HOUR,
    default: 10 * SECOND,
    why: "The span in which the budgets below are counted for each side; over one, the connection ends.",
  },
  {
    key: "http.http2_max_resets",
    type: "count",
    min: 1,
    max: 1_000_000_000,
    default: 1_000,
    why: "RST_STREAM frames for streams that had not run their course.",
  },
  {
    key: "http.http2_max_provoked_resets",
    type: "count",
    min: 1,
    max: 1_000_000_000,
    default: 200,
    why: "Streams that the proxy or the other side reset because of what this side sent.",
  },
  {
    key: "http.http2_max_pings",
    type: "count",
    min: 1,
    max: 1_000_000_000,
    default: 500,
    why: "PING frames, and one more for each frame of a message.",
  },
  {
    key: "http.http2_max_settings",
    type: "count",
    min: 1,
    max: 1_000_000_000,
    default: 100,
    why: "SETTINGS and GOAWAY frames.",
  },
  {
    key: "http.http2_max_priorities",
    type: "count",
    min: 1,
    max: 1_000_000_000,
    default: 5_000,
    why: "PRIORITY frames, and frames of types that RFC 9113 does not define.",
  },
  {
    key: "http.http2_max_empty_frames",
    type: "count",
    min: 1,
    max: 1_000_000_000,
    default: 1_000,
    why: "DATA frames without content that do not end their stream.",
  },
  {
    key: "http.http2_max_window_updates",
    type: "count",
    min: 1,
    max: 1_000_000_000,
    default: 1_000,
    why: "WINDOW_UPDATE frames, and ten more for each frame of a message.",
  },
  {
    key: "tls.ca_cert_path",
    type: "optional_path",
    why: "A CA certificate to use instead of state_dir/ca/ca.pem; with ca_key_path or not at all.",
  },
  {
    key: "tls.ca_key_path",
    type: "optional_path",
    why: "The key of ca_cert_path, readable by its owner alone.",
  },
  {
    key: "tls.ca_common_name",
    type: "text",
    maxCharacters: 64,
    default: "soth-mitm CA",
    why: "The common name of a CA that is made here.",
  },
  {
    key: "tls.ca_organization",
    type: "text",
    maxCharacters: 64,
    default: "soth-mitm",
    why: "The organization of a CA that is made here.",
  },
  {
    key: "tls.ca_rotate_after",
    type: "duration",
    min: HOUR,
    max: 3_650 * DAY,
    zero: "never",
    default: 0,
    why: "The age at which a CA made here is replaced by a new one.",
  },
  {
    key: "tls.leaf_cache_capacity",
    type: "count",
    min: 0,
    max: 1_000_000,
    default: 1_024,
    why: "How many leaf certificates are kept for reuse; 0 disables the cache.",
  },
  {
    key: "tls.profile",
    type: "choice",
    choices: TLS_PROFILES,
    default: "default",
    why: "Strict speaks TLS 1.3 only, default and compat 1.2 as well; the runtime has nothing older.",
  },
  {
    key: "tls.upstream_sni_mode",
    type: "choice",
    choices: ["required", "auto", "disabled"],
    default: "auto",
    why: "Whether the server is told the name asked for; disabled does not go with the strict profile.",
  },
  {
    key: "tls.downstream_cert_profile",
    type: "choice",
    choices: ["modern", "compat"],
    default: "modern",
    why: "The keys of leaf certificates: modern is ECDSA P-256, compat is RSA-2048.",
  },
  {
    key: "tls.upstream_trust",
    type: "choice_or_path",
    choices: ["system", "bundled"],
    default: "system",
    why: "The roots that servers are verified against: the system's, those of the runtime, or a PEM bundle.",
  },
  {
    key: "tls.upstream_ca_bundle",
    type: "optional_path",
    why: "A PEM bundle of roots added to upstream_trust.",
  },
  {
    key: "tls.upstream_client_cert",
    type: "optional_path",
    why: "A certificate in PEM, with its chain, for servers that ask for one; with upstream_client_key.",
  },
  {
    key: "tls.upstream_client_key",
    type: "optional_path",
    why: "The key of upstream_client_cert, readable by its owner alone.",
  },
  {
    key: "tls.learned_bypass",
    type: "choice",
    choices: ["off", "suggest", "on"],
    default: "suggest",
    why:
      "Clients that refuse the CA for a host: say what lets them through, or let them through for a while.",
  },
  {
    key: "tls.learned_bypass_failures",
    type: "count",
    min: 1,
    max: 100,
    default: 2,
    why: "How often the same client must have refused the CA for the same host.",
  },
  {
    key: "tls.learned_bypass_window",
    type: "duration",
    min: SECOND,
    max: DAY,
    default: 10 * MINUTE,
    why: "The span in which those refusals must lie.",
  },
  {
    key: "tls.learned_bypass_ttl",
    type: "duration",
    min: SECOND,
    max: 30 * DAY,
    default: 15 * MINUTE,
    why: "How long a learned bypass holds; it is not prolonged by use.",
  },
  {
    key: "capture.observe",
    type: "switch",
    default: true,
    why:
      "Looks into messages: codings, streams, payloads, WebSockets. Off, bodies are logged as transferred.",
  },
  {
    key: "capture.body_bytes",
    type: "size",
    min: 0,
    max: TiB,
    default: 64 * KiB,
    why: "How much of each message body the log keeps; 0 keeps metadata only.",
  },
  {
    key: "capture.payload_bytes",
    type: "size",
    min: 0,
    max: 16 * MiB,
    default: 16 * KiB,
    why: "The longest payload that is decoded into the log, up to body_bytes; 0 decodes none.",
  },
  {
    key: "capture.redact_headers",
    type: "list",
    item: "field_name",
    minItems: 0,
    maxItems: 256,
    default: ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key"],
    why: "Header fields whose values are replaced before anything is written.",
  },
  {
    key: "limits.max_flows",
    type: "count",
    min: 1,
    max: 1_000_000,
    default: 4_096,
    why: "Client connections open at once; one more gets 503.",
  },
  {
    key: "limits.max_in_flight_bytes",
    type: "size",
    min: MiB,
    max: TiB,
    default: 64 * MiB,
    why: "Bytes queued in the whole process before reading slows; as much again may observers keep.",
  },
  {
    key: "limits.flow_buffer_bytes",
    type: "size",
    min: 16 * KiB,
    max: GiB,
    default: MiB,
    why: "Bytes queued in one flow before reading it slows.",
  },
  {
    key: "limits.decoder_buffer_bytes",
    type: "size",
    min: 64 * KiB,
    max: GiB,
    default: 4 * MiB,
    why:
      "What observers and decoders of one flow may keep, or they are stopped; also its unfinished body events.",
  },
  {
    key: "limits.inflate_ratio",
    type: "count",
    min: 1,
    max: 100_000,
    default: 8,
    why: "How many times its size a message may grow when decompressed for the log, beyond its first 64 KiB.",
  },
  {
    key: "limits.inflate_bytes",
    type: "size",
    min: 64 * KiB,
    max: TiB,
    default: 64 * MiB,
    why: "How large a message may grow when decompressed for the log.",
  },
  {
    key: "timeouts.head",
    type: "duration",
    min: 1,
    max: HOUR,
    default: 15 * SECOND,
    why: "A request head must be whole in this time.",
  },
  {
    key: "timeouts.connect",
    type: "duration",
    min: 1,
    max: HOUR,
    default: 10 * SECOND,
    why: "Each dial of a server; over it the client gets 504.",
  },
  {
    key: "timeouts.tls_handshake",
    type: "duration",
    min: 1,
    max: HOUR,
    default: 10 * SECOND,
    why: "Each side's TLS handshake.",
  },
  {
    key: "timeouts.idle",
    type: "duration",
    min: 1,
    max: 7 * DAY,
    default: 60 * SECOND,
    why: "A kept-alive connection with no exchange under way.",
  },
  {
    key: "timeouts.exchange_idle",
    type: "duration",
    min: 1,
    max: 7 * DAY,
    default: 10 * MINUTE,
    why: "No byte of an exchange in either direction; a model may think for minutes.",
  },
  {
    key: "timeouts.tunnel_idle",
    type: "duration",
    min: 1,
    max: 7 * DAY,
    default: 10 * MINUTE,
    why: "No byte in either direction of a tunnel or a WebSocket.",
  },
  {
    key: "timeouts.ws_turn_idle",
    type: "duration",
    min: 1,
    max: HOUR,
    default: 750,
    why: "How long a WebSocket's sides must be silent for a turn to be over.",
  },
  {
    key: "timeouts.drain",
    type: "duration",
    min: 0,
    max: HOUR,
    default: 5 * SECOND,
    why: "How long a stop waits for what is under way; 0 closes at once.",
  },
  {
    key: "events.sinks",
    type: "list",
    item: "sink",
    minItems: 0,
    maxItems: 16,
    default: [],
    why: "Where events go: a file, - for standard output, or unix:/path.",
  },
  {
    key: "events.rotate_bytes",
    type: "size",
    min: 4 * KiB,
    max: TiB,
    zero: "never",
    default: 0,
    why: "The size at which a log file continues in a new segment.",
  },
  {
    key: "events.sync",
    type: "choice",
    choices: ["flush", "fsync"],
    default: "flush",
    why: "Whether each batch is only written, or also forced to the disk.",
  },
  {
    key: "events.on_sink_failure",
    type: "choice",
    choices: ["stop", "continue"],
    default: "stop",
    why: "Whether a sink that fails for good ends the proxy or is left behind.",
  },
] as const satisfies readonly Descriptor[];

export type SettingKey = typeof DESCRIPTORS[number]["key"];

export const SETTING_KEYS: readonly SettingKey[] = DESCRIPTORS.map((descriptor) => descriptor.key);

/** The tables of a file that hold the keys: `policy`, `tls`, … */
export const SECTIONS: readonly string[] = [
  ...new Set(
    SETTING_KEYS.filter((key) => key.includes(".")).map((key) => key.slice(0, key.lastIndexOf("."))),
  ),
];

const BY_KEY: ReadonlyMap<string, Descriptor> = new Map(
  DESCRIPTORS.map((descriptor) => [descriptor.key, descriptor]),
);

export function descriptorOf(key: string): Descriptor | undefined {
  return BY_KEY.get(key);
}

export const ENVIRONMENT_PREFIX = "SOTH_MITM_";

/** `tls.profile` is `SOTH_MITM_TLS_PROFILE`. */
export function environmentName(key: string): string {
  return ENVIRONMENT_PREFIX + key.replaceAll(".", "_").toUpperCase();
}

/** Where a key's value lives in `Settings`: camel-cased, durations with their unit last. */
export function settingsPath(descriptor: Descriptor): string[] {
  const path = descriptor.key.split(".").map((part) =>
    part.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
  );
  if (descriptor.type === "duration") path.push(`${path.pop() ?? ""}Ms`);
  return path;
}

// The compiler's proof that the table and `Settings` agree: same paths, same types.

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

type PathOf<D extends Descriptor> = D["type"] extends "duration" ? `${Camel<D["key"]>}Ms` : Camel<D["key"]>;

type ValueOf<D extends Descriptor> = D extends { type: "duration" | "size" | "count" } ? number
  : D extends { type: "choice"; choices: readonly (infer Choice)[] } ? Choice
  : D extends { type: "list" } ? readonly string[]
  : D extends { type: "rules" } ? readonly PolicyRule[]
  : D extends { type: "overrides" } ? readonly HostOverride[]
  : D extends { type: "optional_path" | "optional_origin" } ? string | null
  : D extends { type: "switch" } ? boolean
  : string;

type FromTable = { [D in typeof DESCRIPTORS[number] as PathOf<D>]: ValueOf<D> };

type Leaves<T, Prefix extends string = ""> = {
  [Name in keyof T & string]: T[Name] extends string | number | boolean | null | readonly unknown[]
    ? { path: `${Prefix}${Name}`; value: T[Name] }
    : Leaves<T[Name], `${Prefix}${Name}.`>;
}[keyof T & string];

type FromSettings = { [Leaf in Leaves<Settings> as Leaf["path"]]: Leaf["value"] };

type Same<A, B> = [A] extends [B] ? [B] extends [A] ? true : never : never;

export const TABLE_DESCRIBES_SETTINGS: Same<FromTable, FromSettings> = true;
