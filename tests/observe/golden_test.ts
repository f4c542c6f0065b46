/**
 * Replays the fixtures of every observer in the registry: `request` and `response` blocks with the content of
 * a message. `type=` is its content-type, `coding=gzip` compresses the content first, `cut` ends it too early,
 * `path=`, `status=`, `field=NAME:VALUE`, `trailer=NAME:VALUE` and `request-field=NAME:VALUE` are what they say
 * (several fields are separated by `|`), `redact=` names a field, `captureBytes=` and the like change a limit.
 */
import { joinBytes } from "../../src/core/bytes.ts";
import zlib from "node:zlib";
import type { FlowEvent } from "../../src/core/event.ts";
import type { Field } from "../../src/http/fields.ts";
import { OBSERVERS } from "../../src/observe/registry.ts";
import { type GoldenInput, type GoldenRun, testGolden } from "../support/golden.ts";
import { LIMITS, observe } from "./observed.ts";

function run({ kind, options }: GoldenInput, reads: readonly Uint8Array[]): GoldenRun {
  const field = (name: string): Field[] =>
    (options.get(name) ?? "").split("|").flatMap((field): Field[] => {
      const [, fieldName, value] = /^([^:]+):(.*)$/.exec(field) ?? [];
      return fieldName === undefined ? [] : [[fieldName, value!.replaceAll("%20", " ")]];
    });
  const type = options.get("type");
  const coding = options.get("coding");
  const cut = options.has("cut");
  const { events } = observe(coding === undefined ? reads : encoded(reads, coding), {
    direction: kind === "request" ? "request" : "response",
    protocol: options.has("h2") ? "http2" : "http1",
    fields: [
      ...(type === undefined ? [] : [["content-type", type.replaceAll("%20", " ")] as const]),
      ...(coding === undefined ? [] : [["content-encoding", coding] as const]),
      ...field("field"),
    ],
    requestFields: field("request-field"),
    target: options.get("path") ?? "/",
    status: Number(options.get("status") ?? 200),
    redactHeaders: options.has("redact") ? [options.get("redact")!] : [],
    trailers: field("trailer"),
    cut,
    limits: Object.fromEntries(
      Object.keys(LIMITS).filter((name) => options.has(name)).map((
        name,
      ) => [name, Number(options.get(name))]),
    ),
  });
  return { trace: events.filter(({ kind }) => !PLUMBING.has(kind)).map(describe), rest: null };
}

/** What every exchange has; the fixtures are about what is said beside it. */
const PLUMBING: ReadonlySet<string> = new Set([
  "request_headers",
  "response_headers",
  "request_body_chunk",
  "response_body_chunk",
  "request_trailers",
  "response_trailers",
  "exchange_completed",
]);

function describe({ kind, attributes }: FlowEvent): string {
  const { exchange_id: _id, direction: _direction, ...said } = attributes;
  const sorted = Object.entries(said).sort(([a], [b]) => a < b ? -1 : 1);
  return [kind, ...sorted.map(([name, value]) => `${name}=${JSON.stringify(value)}`)].join(" ");
}

/** The content compressed, cut where the content was: each cut is flushed to, as a server that streams would. */
function encoded(reads: readonly Uint8Array[], coding: string): Uint8Array[] {
  const whole = joinBytes(reads);
  const compress = ENCODERS[coding];
  if (compress === undefined) return [whole];
  const compressed = compress(whole);
  const pieces: Uint8Array[] = [];
  const size = Math.max(1, Math.ceil(compressed.length / Math.max(1, reads.length)));
  for (let from = 0; from < compressed.length; from += size) {
    pieces.push(compressed.slice(from, from + size));
  }
  return pieces;
}

const ENCODERS: Readonly<Record<string, (content: Uint8Array) => Uint8Array>> = {
  gzip: (content) => new Uint8Array(zlib.gzipSync(content)),
  deflate: (content) => new Uint8Array(zlib.deflateSync(content)),
  br: (content) => new Uint8Array(zlib.brotliCompressSync(content)),
  zstd: (content) => new Uint8Array(zlib.zstdCompressSync(content)),
};

for (const folder of [...OBSERVERS.map(({ name }) => name), "content_coding"]) testGolden(folder, run);
