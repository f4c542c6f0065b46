/** What the streams of one HTTP/2 connection are about: requests, answers, pushes, resets, and what is wrong with them. */
import type { Side } from "../core/side.ts";
import { CODE } from "./http2_wire.ts";
import type { Random } from "./random.ts";

export interface PlannedField {
  readonly name: string;
  readonly value: string;
  /** Must travel as a never-indexed literal (RFC 7541 §7.1.3). */
  readonly isSensitive: boolean;
}

/** One thing to send on a stream, in its turn. */
export type Item =
  | { readonly type: "block"; readonly fields: readonly PlannedField[]; readonly ends: boolean }
  | { readonly type: "content"; readonly bytes: Uint8Array; readonly ends: boolean }
  | { readonly type: "promise"; readonly exchange: StreamPlan }
  | { readonly type: "reset"; readonly code: number };

export interface Message {
  /** The heads in order: interim ones first. */
  readonly heads: readonly (readonly PlannedField[])[];
  readonly body: Uint8Array;
  readonly trailers: readonly PlannedField[] | null;
  /** All that is sent, or as much of it as was planned. */
  readonly items: readonly Item[];
}

export interface StreamPlan {
  /** Names the stream on both sides and in the log. */
  readonly path: string;
  readonly method: string;
  /** Extended CONNECT (RFC 8441). */
  readonly needsConnectProtocol: boolean;
  readonly request: Message;
  readonly response: Message;
  /** The server does not wait for the end of the request. */
  readonly answersAtOnce: boolean;
  /** Who ends the stream before its time, and how; a server's NO_ERROR only stops the request. */
  readonly reset: { readonly by: Side; readonly code: number } | null;
  /** Who breaks a rule that costs the stream alone, and how the proxy answers. */
  readonly flaw: { readonly by: Side; readonly code: number; readonly inOpening: boolean } | null;
  readonly pushes: readonly StreamPlan[];
}

export interface Http2Plan {
  readonly authority: string;
  readonly scheme: string;
  readonly streams: readonly StreamPlan[];
  /** How many streams the client has open at once, at most. */
  readonly crowd: number;
  readonly allowsPush: boolean;
  /** The server says GOAWAY when it has seen so many streams; null: never. */
  readonly serverLeavesAfter: number | null;
  /** Who ends the connection when all is done; `nobody` waits for the proxy's timer. */
  readonly endsFirst: Side | "nobody";
  /** No block or frame has to be withheld: what arrives is what was sent, to the octet. */
  readonly isVerbatim: boolean;
}

const NOTHING = new Uint8Array(0);

export interface StreamOptions {
  readonly authority: string;
  readonly scheme: string;
  readonly path: string;
  readonly canPush: boolean;
}

const KINDS = [
  "get",
  "get",
  "post",
  "post",
  "head",
  "no_content",
  "hints",
  "both_ways",
  "stops_request",
  "client_cancels",
  "server_resets",
  "connect_protocol",
] as const;

/** A stream on which nobody breaks a rule. */
export function planStream(options: StreamOptions, random: Random): StreamPlan {
  const kind = random.pick(KINDS);
  const hasBody = kind === "post" || kind === "both_ways" || kind === "stops_request" ||
    kind === "connect_protocol" || (kind === "client_cancels" && random.chance(0.5));
  const method = kind === "head"
    ? "HEAD"
    : kind === "connect_protocol"
    ? "CONNECT"
    : hasBody
    ? "POST"
    : random.pick(["GET", "DELETE"]);
  const request = message([requestHead(method, options, random)], {
    body: hasBody ? body(random) : NOTHING,
    declaresLength: method !== "CONNECT" && random.chance(0.5),
    hasTrailers: method === "POST" && random.chance(0.3),
  }, random);
  const hasResponseBody = kind !== "head" && kind !== "no_content";
  const status = kind === "no_content"
    ? random.pick(["204", "304"])
    : random.pick(["200", "200", "404", "206"]);
  const interim = kind === "hints"
    ? Array.from({ length: random.between(1, 3) }, () => [field(":status", "103"), ...someFields(random)])
    : [];
  const isHead = kind === "head" && random.chance(0.5);
  const response = message(
    [
      ...interim,
      [
        field(":status", kind === "connect_protocol" ? "200" : status),
        ...someFields(random),
        ...(isHead ? [field("content-length", "12345")] : []),
      ],
    ],
    {
      body: hasResponseBody ? body(random) : NOTHING,
      declaresLength: hasResponseBody && kind !== "connect_protocol" && random.chance(0.5),
      hasTrailers: hasResponseBody && random.chance(0.3),
    },
    random,
  );
  const pushes = options.canPush && kind === "get" && random.chance(0.4)
    ? Array.from(
      { length: random.between(1, 2) },
      (_, index) => planPush({ ...options, path: `${options.path}/pushed/${index}` }, random),
    )
    : [];
  const plan: StreamPlan = {
    path: options.path,
    method,
    needsConnectProtocol: kind === "connect_protocol",
    request,
    response: pushes.length === 0 ? response : {
      ...response,
      items: [...pushes.map((exchange) => ({ type: "promise", exchange }) as const), ...response.items],
    },
    answersAtOnce: kind === "both_ways" || kind === "stops_request" || kind === "connect_protocol" ||
      random.chance(0.1),
    reset: null,
    flaw: null,
    pushes,
  };
  switch (kind) {
    case "stops_request":
      return {
        ...plan,
        response: { ...response, items: [...response.items, { type: "reset", code: CODE.no_error }] },
        reset: { by: "server", code: CODE.no_error },
      };
    case "client_cancels": {
      const code = random.pick([CODE.cancel, CODE.no_error, CODE.refused_stream, 0x1234]);
      return { ...plan, request: brokenOff(request, code, random), reset: { by: "client", code } };
    }
    case "server_resets": {
      const code = random.pick([CODE.cancel, CODE.refused_stream, CODE.enhance_your_calm]);
      return { ...plan, response: brokenOff(response, code, random), reset: { by: "server", code } };
    }
    default:
      return plan;
  }
}

function planPush(options: StreamOptions, random: Random): StreamPlan {
  const cancels = random.chance(0.3) ? { by: "client" as const, code: CODE.cancel } : null;
  const response = message([[field(":status", "200"), ...someFields(random)]], {
    body: body(random),
    declaresLength: random.chance(0.5),
    hasTrailers: random.chance(0.2),
  }, random);
  const head = requestHead("GET", options, random);
  return {
    path: options.path,
    method: "GET",
    needsConnectProtocol: false,
    request: {
      heads: [head],
      body: NOTHING,
      trailers: null,
      items: cancels === null ? [] : [{ type: "reset", code: cancels.code }],
    },
    response,
    answersAtOnce: true,
    reset: cancels,
    flaw: null,
    pushes: [],
  };
}

const FLAWS = [
  "name",
  "value",
  "connection",
  "te",
  "missing",
  "large",
  "many",
  "pseudo",
  "length_over",
  "length_short",
  "open_trailers",
  "pseudo_trailers",
  "after_end",
] as const;

/** A stream on which one side breaks a rule that must cost this stream and nothing else. */
export function planFlawedStream(options: StreamOptions, random: Random): StreamPlan {
  const by = random.pick(["client", "server"] as const);
  const flaw = random.pick(FLAWS);
  const status = [field(":status", "200"), ...someFields(random)];
  const head = by === "client" ? requestHead("POST", options, random) : status;
  const content: Item = {
    type: "content",
    bytes: random.bytes(random.pick([10, 5_000, 20_000])),
    ends: true,
  };
  const opened: Item = { type: "block", fields: head, ends: false };
  const block = (fields: readonly PlannedField[], ends: boolean): Item => ({ type: "block", fields, ends });
  const flawedHead = (
    ...more: readonly PlannedField[]
  ): Item[] => [block([...head, ...more], random.chance(0.5))];
  const items: Item[] = (() => {
    switch (flaw) {
      case "name":
        return flawedHead(field("X-Upper", "1"));
      case "value":
        return flawedHead(field("x-value", random.pick(["a\nb", "a\r", "\0", " a", "b\t"])));
      case "connection":
        return flawedHead(field(random.pick(["connection", "transfer-encoding", "upgrade"]), "close"));
      case "te":
        return flawedHead(field("te", "gzip"));
      case "missing":
        return [block(head.filter(({ name }) => name !== ":path" && name !== ":status"), true)];
      case "large":
        return flawedHead(field("x-large", "y".repeat(random.between(16_384, 24_000))));
      case "many":
        return flawedHead(...Array.from({ length: 257 }, () => field("x", "y")));
      case "pseudo":
        return flawedHead(field(random.pick([":later", ":path", ":status"]), "1"));
      case "length_over":
        return [block([...head, field("content-length", "9")], false), content];
      case "length_short":
        return [block([...head, field("content-length", "50000")], false), content];
      case "open_trailers":
        return [opened, { ...content, ends: false }, block([field("x-sum", "1")], false)];
      case "pseudo_trailers":
        return [opened, { ...content, ends: false }, block([field(":path", "/")], true)];
      case "after_end":
        // Nobody gives a window for more.
        return [opened, content, { ...content, bytes: NOTHING }];
    }
  })();
  const inOpening = items[0] !== opened && !flaw.startsWith("length");
  const code = flaw === "large" || flaw === "many"
    ? CODE.enhance_your_calm
    : flaw === "after_end"
    ? CODE.stream_closed
    : CODE.protocol_error;
  const flawed: Message = {
    heads: items.slice(0, inOpening ? 0 : 1).flatMap((item) => item.type === "block" ? [item.fields] : []),
    body: content.bytes,
    trailers: null,
    items,
  };
  const whole = (heads: readonly (readonly PlannedField[])[]) =>
    message(heads, { body: body(random), declaresLength: false, hasTrailers: false }, random);
  return {
    path: options.path,
    method: "POST",
    needsConnectProtocol: false,
    request: by === "client" ? flawed : whole([requestHead("POST", options, random)]),
    response: by === "server" ? flawed : whole([status]),
    answersAtOnce: random.chance(0.5),
    reset: null,
    flaw: { by, code, inOpening: inOpening && by === "client" },
    pushes: [],
  };
}

export function field(name: string, value: string, isSensitive = false): PlannedField {
  return { name, value, isSensitive };
}

function requestHead(method: string, options: StreamOptions, random: Random): PlannedField[] {
  const { authority, scheme, path } = options;
  return [
    field(":method", method),
    ...(method === "CONNECT" ? [field(":protocol", "websocket")] : []),
    field(":scheme", scheme),
    field(":authority", authority),
    field(":path", path),
    ...someFields(random),
  ];
}

/** Some that come again and again, some that never do. */
function someFields(random: Random): PlannedField[] {
  const fields: PlannedField[] = [];
  for (let count = random.below(8); count > 0; count--) {
    fields.push(
      random.pick([
        () => field("user-agent", "sim/1"),
        () => field("accept", "*/*"),
        () => field("cookie", `c=${random.below(4)}`),
        () => field("x-trace", `${random.next()}`),
        () => field("x-empty", ""),
        () => field("x-octets", String.fromCharCode(...random.bytes(5).map((octet) => octet | 0x80))),
        () => field("x-long", "abc".repeat(random.below(300))),
        () => field("authorization", `Basic ${random.below(3)}`, true),
        () => field("te", "trailers"),
      ])(),
    );
  }
  return fields;
}

const BODY_BYTES = [0, 1, 10, 1_000, 16_384, 16_385, 40_000, 70_000];

function body(random: Random): Uint8Array {
  return random.bytes(random.pick(BODY_BYTES));
}

interface MessageShape {
  readonly body: Uint8Array;
  readonly declaresLength: boolean;
  readonly hasTrailers: boolean;
}

function message(
  heads: readonly (readonly PlannedField[])[],
  { body, declaresLength, hasTrailers }: MessageShape,
  random: Random,
): Message {
  const whole = declaresLength
    ? heads.map((head, index) =>
      index === heads.length - 1 ? [...head, field("content-length", `${body.length}`)] : head
    )
    : heads;
  const trailers = hasTrailers ? [field("x-sum", `${random.below(9)}`), ...someFields(random)] : null;
  // The end may stand on an empty frame of its own.
  const hasContent = body.length > 0 || (trailers === null && random.chance(0.2));
  const items: Item[] = whole.map((fields, index) => ({
    type: "block",
    fields,
    ends: index === whole.length - 1 && !hasContent && trailers === null,
  }));
  if (hasContent) items.push({ type: "content", bytes: body, ends: trailers === null });
  if (trailers !== null) items.push({ type: "block", fields: trailers, ends: true });
  return { heads: whole, body, trailers, items };
}

/** The message up to somewhere, and a reset. */
function brokenOff(whole: Message, code: number, random: Random): Message {
  const items: Item[] = [];
  for (const item of whole.items) {
    if (items.length > 0 && random.chance(0.3)) break;
    if (item.type === "promise" || item.type === "reset") continue;
    if (item.type === "content") {
      items.push({
        ...item,
        bytes: item.bytes.subarray(0, random.below(item.bytes.length + 1)),
        ends: false,
      });
      break;
    }
    items.push({ ...item, ends: false });
  }
  // Fields behind an unfinished head would be trailers that do not end the stream.
  const blocks = items.filter(({ type }) => type === "block").length;
  const kept = blocks > whole.heads.length
    ? items.filter((item) => item.type !== "block" || item !== items.at(-1))
    : items;
  return { ...whole, items: [...kept, { type: "reset", code }] };
}
