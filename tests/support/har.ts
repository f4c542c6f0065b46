/**
 * The published JSON schema of HAR 1.2, by the package that carries it, and what an importer takes for granted beyond
 * it, as Chromium's developer tools do: dates and URLs that can be read, times that add up, its own `_` fields.
 */
import { assert, assertAlmostEquals } from "@std/assert";
import * as validator from "har-validator/promise";

// The package carries no types.
const { har } = validator as unknown as { har: (value: unknown) => Promise<unknown> };

/** Rejects with what does not fit. */
export async function validateHar(value: unknown): Promise<void> {
  try {
    await har(value);
  } catch (error) {
    throw new Error(JSON.stringify((error as { errors?: unknown }).errors ?? String(error)));
  }
  for (const entry of (value as { log: { entries: readonly ImportedEntry[] } }).log.entries) {
    importEntry(entry);
  }
}

interface ImportedEntry {
  readonly startedDateTime: string;
  readonly time: number;
  readonly request: { readonly url: string; readonly headersSize: number; readonly bodySize: number };
  readonly response: {
    readonly status: number;
    readonly content: { readonly size: number; readonly text?: string; readonly encoding?: string };
    readonly headersSize: number;
    readonly bodySize: number;
  };
  readonly timings: Readonly<Record<typeof PARTS[number] | "ssl", number>>;
  readonly _resourceType?: string;
  readonly _webSocketMessages?: readonly {
    readonly type: string;
    readonly time: number;
    readonly opcode: number;
    readonly data: string;
  }[];
  readonly _eventSourceMessages?: readonly {
    readonly time: number;
    readonly eventName: string;
    readonly eventId: string;
    readonly data: string;
  }[];
}

/** One after the other; that of TLS is within that of connecting. */
const PARTS = ["blocked", "dns", "connect", "send", "wait", "receive"] as const;

function importEntry(entry: ImportedEntry): void {
  const { request, response, startedDateTime, time, timings } = entry;
  assert(Number.isFinite(Date.parse(startedDateTime)), `a time that is none: ${startedDateTime}`);
  assert(URL.canParse(request.url), `a URL that is none: ${request.url}`);
  for (const name of [...PARTS, "ssl"] as const) {
    const isNeeded = name === "send" || name === "wait" || name === "receive";
    assert(timings[name] >= 0 || (timings[name] === -1 && !isNeeded), `${name}: ${timings[name]}`);
  }
  assert(timings.ssl <= Math.max(timings.connect, -1), "TLS takes longer than connecting");
  const sum = PARTS.reduce((total, name) => total + Math.max(0, timings[name]), 0);
  assertAlmostEquals(time, sum, 0.01);
  for (const size of [request.headersSize, request.bodySize, response.headersSize, response.bodySize]) {
    assert(Number.isSafeInteger(size) && size >= -1, `a size of ${size}`);
  }
  const { encoding, size, text = "" } = response.content;
  assert(Number.isSafeInteger(size) && size >= 0, `content of ${size}`);
  const octets = encoding === "base64" ? Uint8Array.fromBase64(text) : new TextEncoder().encode(text);
  assert(encoding === undefined || encoding === "base64", `the encoding ${encoding}`);
  assert(octets.length <= size, `${octets.length} octets of content of ${size}`);
  const { _eventSourceMessages: events, _resourceType: type, _webSocketMessages: messages } = entry;
  assert(type === undefined || (type === "websocket") === (messages !== undefined) || type === "eventsource");
  for (const { type, time, opcode, data } of messages ?? []) {
    assert(["send", "receive"].includes(type) && Number.isFinite(time) && Number.isSafeInteger(opcode));
    assert(typeof data === "string");
    if (opcode === 2) Uint8Array.fromBase64(data);
  }
  for (const { time, eventName, eventId, data } of events ?? []) {
    assert(Number.isFinite(time) && [eventName, eventId, data].every((part) => typeof part === "string"));
    assert(eventName !== "");
  }
}
