/**
 * `Sec-WebSocket-Extensions` (RFC 6455 §9.1): what was offered, what was answered, and what of permessage-deflate
 * (RFC 7692 §7.1) was agreed on.
 */
import type { HandshakeViolation } from "./deviations.ts";
import { RSV1 } from "./frame_reader.ts";

export interface Extension {
  /** In lower case. */
  readonly name: string;
  /** Names in lower case; null where a parameter has no value. */
  readonly parameters: readonly (readonly [name: string, value: string | null])[];
}

/** How each side may compress. */
export interface Compression {
  readonly clientTakeover: boolean;
  readonly serverTakeover: boolean;
}

export interface Agreement {
  /** As answered, in the order of the answer. */
  readonly extensions: readonly string[];
  readonly compression: Compression | null;
  /** Reserved bits that extensions which are not known here may use. */
  readonly foreignReserved: number;
  readonly violations: readonly HandshakeViolation[];
}

const DEFLATE = "permessage-deflate";
const TOKEN = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
/** The name of an extension, or `;` and a parameter. Sticky, so that a long field is gone through once. */
const NAME = new RegExp(`[ \\t]*(${TOKEN})[ \\t]*`, "y");
const PARAMETER = new RegExp(
  `;[ \\t]*(${TOKEN})(?:[ \\t]*=[ \\t]*(?:(${TOKEN})|"((?:[^"\\\\]|\\\\.)*)"))?[ \\t]*`,
  "y",
);
const RESERVED_ALL = 0x70;
/** More than this says nothing that anybody would agree on. */
const EXTENSIONS_MAX = 32;

/** Null where the values are not of the grammar. */
export function parseExtensions(values: readonly string[]): Extension[] | null {
  const extensions: Extension[] = [];
  for (const value of values) {
    let at = 0;
    while (at < value.length) {
      // RFC 9110 §5.6.1: a recipient takes empty elements for none.
      if (/[ \t,]/.test(value[at]!)) {
        at++;
        continue;
      }
      NAME.lastIndex = at;
      const name = NAME.exec(value)?.[1];
      if (name === undefined || extensions.length === EXTENSIONS_MAX) return null;
      at = NAME.lastIndex;
      const parameters: [string, string | null][] = [];
      while (value[at] === ";") {
        PARAMETER.lastIndex = at;
        const match = PARAMETER.exec(value);
        if (match === null) return null;
        at = PARAMETER.lastIndex;
        const quoted = match[3]?.replace(/\\(.)/g, "$1");
        parameters.push([match[1]!.toLowerCase(), match[2] ?? quoted ?? null]);
      }
      if (at < value.length && value[at] !== ",") return null;
      extensions.push({ name: name.toLowerCase(), parameters });
    }
  }
  return extensions;
}

export function agree(offeredValues: readonly string[], answeredValues: readonly string[]): Agreement {
  const offered = parseExtensions(offeredValues);
  const answered = parseExtensions(answeredValues);
  const violations: HandshakeViolation[] = [];
  if (offered === null) violations.push("extensions_malformed");
  if (answered === null) {
    violations.push("extensions_malformed");
    return {
      extensions: [],
      compression: null,
      foreignReserved: RESERVED_ALL,
      violations: unique(violations),
    };
  }
  let compression: Compression | null = null;
  let foreignReserved = 0;
  for (const extension of answered) {
    const offers = offered?.filter(({ name }) => name === extension.name) ?? [];
    if (offered !== null && offers.length === 0) violations.push("extension_not_offered");
    if (extension.name !== DEFLATE) {
      foreignReserved = RESERVED_ALL;
      continue;
    }
    if (compression !== null || !isDeflateAnswer(extension, offers)) violations.push("deflate_parameters");
    compression ??= {
      clientTakeover: !has(extension, "client_no_context_takeover"),
      serverTakeover: !has(extension, "server_no_context_takeover"),
    };
  }
  // Beside another extension RSV1 is still that of permessage-deflate, which had to be named for it (RFC 7692 §5.1).
  if (compression !== null) foreignReserved &= ~RSV1;
  return {
    extensions: answered.map(show),
    compression,
    foreignReserved,
    violations: unique(violations),
  };
}

/** RFC 7692 §7.1: each parameter at most once, of its form, and what the offers allow. */
function isDeflateAnswer({ parameters }: Extension, offers: readonly Extension[]): boolean {
  const names = parameters.map(([name]) => name);
  if (new Set(names).size < names.length) return false;
  return parameters.every(([name, value]) => {
    switch (name) {
      case "client_no_context_takeover":
      case "server_no_context_takeover":
        return value === null;
      case "server_max_window_bits":
        return isWindow(value);
      case "client_max_window_bits":
        return isWindow(value) && (offers.length === 0 || offers.some((offer) => has(offer, name)));
      default:
        return false;
    }
  });
}

function isWindow(value: string | null): boolean {
  return value !== null && /^(8|9|1[0-5])$/.test(value);
}

function has({ parameters }: Extension, wanted: string): boolean {
  return parameters.some(([name]) => name === wanted);
}

function show({ name, parameters }: Extension): string {
  return [name, ...parameters.map(([key, value]) => value === null ? key : `${key}=${value}`)].join("; ");
}

function unique<T>(values: readonly T[]): T[] {
  return [...new Set(values)];
}
