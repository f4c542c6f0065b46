/** HTTP/1.1 exchanges as dialogues: what clients and servers of all sorts say, well-formed. */
import { OBSERVERS } from "../observe/registry.ts";
import { join, latin1 } from "./bytes.ts";
import { ends, says, type Turn } from "./dialogue.ts";
import type { Random } from "./random.ts";

export interface ExchangePlan {
  readonly turns: readonly Turn[];
  /** Names the exchange in the log. */
  readonly target: string;
  readonly method: string;
  readonly requestBody: Uint8Array;
  readonly responseBody: Uint8Array;
  /** The connection ends with this exchange. */
  readonly isLast: boolean;
  /** The client waits for nothing before it has sent all of its request. */
  readonly canBePipelined: boolean;
}

export interface Place {
  /** `host` or `host:port`, as it stands in Host. */
  readonly host: string;
  readonly path: string;
  readonly server: number;
  /** A plain request to a proxy: the target is absolute. */
  readonly toProxy: boolean;
}

export const EXCHANGE_KINDS = [
  "get",
  "head",
  "post",
  "post_chunked",
  "expect_continue",
  "early_hints",
  "chunked",
  "not_modified",
  "no_content",
  "early_response",
  "http10_keep_alive",
] as const;
export const LAST_EXCHANGE_KINDS = ["until_close", "server_closes", "client_closes", "http10"] as const;
export type ExchangeKind = typeof EXCHANGE_KINDS[number] | typeof LAST_EXCHANGE_KINDS[number];

const NOTHING = new Uint8Array(0);
const BODY_BYTES = [0, 1, 10, 1000, 16_384, 16_385, 40_000];
type Fields = readonly (readonly [string, string])[];

export function planExchange(kind: ExchangeKind, place: Place, random: Random): ExchangePlan {
  const answered = hasNoResponseBody(kind) ? NO_CONTENT : someContent(random);
  const responseBody = answered.body;
  const method = methodOf(kind, random);
  const asked = REQUESTS_WITH_BODY.has(kind) ? someContent(random) : NO_CONTENT;
  const requestBody = REQUESTS_WITH_BODY.has(kind) ? nonEmpty(asked.body) : NOTHING;
  const isChunked = kind === "post_chunked";
  const coded = isChunked ? chunked(requestBody, random) : requestBody;
  const http10 = kind === "http10" || kind === "http10_keep_alive";
  const head = requestHead(method, place, http10 ? "HTTP/1.0" : "HTTP/1.1", [
    ...someFields(random),
    ...asked.fields,
    ...(isChunked ? [["Transfer-Encoding", "chunked"] as const] : []),
    ...(requestBody.length > 0 && !isChunked ? [["Content-Length", `${requestBody.length}`] as const] : []),
    ...(kind === "expect_continue" ? [["Expect", "100-continue"] as const] : []),
    ...(kind === "client_closes" ? [["connection", "close"] as const] : []),
    ...(kind === "http10_keep_alive" ? [["Connection", "Keep-Alive"] as const] : []),
  ], random);
  const client = (bytes: Uint8Array, arrives = bytes) => says("client", bytes, place.server, arrives);
  const server = (bytes: Uint8Array, arrives = bytes) => says("server", bytes, place.server, arrives);
  const final = response(kind, answered, { dropsCoding: place.toProxy && http10 }, random);
  const answer = server(final.bytes, final.arrives);
  const plan = {
    target: place.toProxy ? `http://${place.host}${place.path}` : place.path,
    method,
    requestBody,
    responseBody,
    isLast: (LAST_EXCHANGE_KINDS as readonly string[]).includes(kind) || final.isLast,
    canBePipelined: kind !== "expect_continue" && kind !== "early_response",
  };
  const request = client(join(head.bytes, coded), join(head.arrives, coded));
  switch (kind) {
    case "expect_continue":
      return {
        ...plan,
        turns: [
          client(head.bytes, head.arrives),
          server(latin1("HTTP/1.1 100 Continue\r\n\r\n")),
          client(coded),
          answer,
        ],
      };
    case "early_response": {
      const cut = random.below(coded.length);
      return {
        ...plan,
        turns: [
          client(join(head.bytes, coded.subarray(0, cut)), join(head.arrives, coded.subarray(0, cut))),
          answer,
          client(coded.subarray(cut)),
        ],
      };
    }
    case "early_hints": {
      const hints = latin1("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n");
      return { ...plan, turns: [request, server(hints), answer] };
    }
    case "until_close":
      return { ...plan, turns: [request, answer, ends("server", place.server)] };
    case "server_closes":
      return {
        ...plan,
        turns: [request, answer, ...(random.chance(0.5) ? [ends("server", place.server)] : [])],
      };
    default:
      return { ...plan, turns: [request, answer] };
  }
}

export function requestHead(
  method: string,
  place: Place,
  version: string,
  fields: Fields,
  random: Random,
): { readonly bytes: Uint8Array; readonly arrives: Uint8Array } {
  const host: Fields = [["Host", place.host]];
  if (!place.toProxy) {
    const bytes = head(`${method} ${place.path} ${version}`, [...host, ...fields]);
    return { bytes, arrives: bytes };
  }
  // What speaks to the proxy goes; everything else keeps its octets and its place.
  const proxyFields: Fields = random.chance(0.5)
    ? [["Proxy-Connection", "keep-alive"], ["proxy-authorization", "Basic c2ltOnNpbQ=="]]
    : [];
  return {
    bytes: head(`${method} http://${place.host}${place.path} ${version}`, [
      ...host,
      ...proxyFields,
      ...fields,
    ]),
    arrives: head(`${method} ${place.path} HTTP/1.1`, [...host, ...fields]),
  };
}

function response(
  kind: ExchangeKind,
  { body, fields }: Content,
  { dropsCoding }: { readonly dropsCoding: boolean },
  random: Random,
): { readonly bytes: Uint8Array; readonly arrives: Uint8Array; readonly isLast: boolean } {
  const extra = [...someFields(random), ...fields];
  const whole = (start: string, fields: Fields, rest: Uint8Array, isLast = false) => {
    const bytes = join(head(start, [...extra, ...fields]), rest);
    return { bytes, arrives: bytes, isLast };
  };
  const ok = random.pick([
    "HTTP/1.1 200 OK",
    "HTTP/1.1 404 Not Found",
    "HTTP/1.1 500 ",
    "HTTP/1.1 201 Cr\xe9\xe9",
  ]);
  const length = ["Content-Length", `${body.length}`] as const;
  switch (kind) {
    case "head":
      return whole(ok, [["Content-Length", "12345"]], NOTHING);
    case "not_modified":
      return whole("HTTP/1.1 304 Not Modified", [["Content-Length", "77"], ["ETag", '"x"']], NOTHING);
    case "no_content":
      return whole("HTTP/1.1 204 No Content", [], NOTHING);
    case "until_close":
      return whole(random.pick(["HTTP/1.1 200 OK", "HTTP/1.0 200 OK"]), [], body, true);
    case "server_closes":
      return whole(ok, [length, ["Connection", "close"]], body, true);
    case "http10_keep_alive":
    case "http10":
      if (!random.chance(0.5)) {
        return whole("HTTP/1.0 200 OK", [length, ["Connection", "keep-alive"]], body);
      }
      break;
    case "chunked":
    case "early_hints":
      break;
    default:
      return whole(ok, [length], body);
  }
  const coded = whole(ok, [["transfer-encoding", "Chunked"]], chunked(body, random));
  if (!dropsCoding) return coded;
  return {
    bytes: coded.bytes,
    arrives: join(head(ok, [["Connection", "close"], ...extra]), body),
    isLast: true,
  };
}

function hasNoResponseBody(kind: ExchangeKind): boolean {
  return kind === "head" || kind === "not_modified" || kind === "no_content";
}

const REQUESTS_WITH_BODY: ReadonlySet<ExchangeKind> = new Set([
  "post",
  "post_chunked",
  "expect_continue",
  "early_response",
]);

function methodOf(kind: ExchangeKind, random: Random): string {
  switch (kind) {
    case "post":
    case "post_chunked":
    case "expect_continue":
    case "early_response":
      return random.pick(["POST", "PUT", "PATCH"]);
    case "head":
      return "HEAD";
    default:
      // Some begin like a CONNECT.
      return random.pick(["GET", "GET", "COPY", "CONN"]);
  }
}

interface Content {
  readonly body: Uint8Array;
  /** What says of what type it is. */
  readonly fields: Fields;
}

const NO_CONTENT: Content = { body: NOTHING, fields: [] };

/** Octets of no type, or what one of the observers makes something of. */
function someContent(random: Random): Content {
  if (random.chance(0.5)) return { body: random.bytes(random.pick(BODY_BYTES)), fields: [] };
  const { content, mediaType } = random.pick(OBSERVERS).example;
  const example = new TextEncoder().encode(content);
  return {
    body: join(...Array<Uint8Array>(random.between(1, 3)).fill(example)),
    fields: [["Content-Type", mediaType]],
  };
}

function nonEmpty(body: Uint8Array): Uint8Array {
  return body.length === 0 ? new Uint8Array([0x78, 0x79]) : body;
}

/** Fields that mean nothing to the proxy, in the ways that are easily lost: case, repetition, order, latin-1. */
function someFields(random: Random): Fields {
  const choices: Fields = [
    ["aCCept", "*/*"],
    ["X-Twice", "one"],
    ["x-twice", "two"],
    ["X-Latin", "caf\xe9 \xff"],
    ["X-Empty", ""],
    ["Cookie", "a=b; c=d"],
    ["X-Long", "v".repeat(random.between(1, 300))],
  ];
  return choices.filter(() => random.chance(0.3));
}

/** With chunks of any size, extensions and trailers. */
export function chunked(body: Uint8Array, random: Random): Uint8Array {
  const parts: Uint8Array[] = [];
  const most = random.pick([1, 100, 5000, 100_000]);
  for (let offset = 0; offset < body.length;) {
    // Single octets for a while only.
    const size = Math.min(body.length - offset, offset > 50 && most === 1 ? 10_000 : random.between(1, most));
    const extension = random.chance(0.2) ? random.pick([";x", ";name=value", ';q="a;b\\"c"']) : "";
    parts.push(
      latin1(`${size.toString(16)}${extension}\r\n`),
      body.subarray(offset, offset + size),
      latin1("\r\n"),
    );
    offset += size;
  }
  parts.push(latin1(random.chance(0.3) ? "0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n" : "0\r\n\r\n"));
  return join(...parts);
}

export function head(startLine: string, fields: Fields): Uint8Array {
  return latin1([startLine, ...fields.map(([name, value]) => `${name}: ${value}`), "", ""].join("\r\n"));
}
