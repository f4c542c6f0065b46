/** Responses of a model as a log has them, and what a view makes of them in a form that is short to compare. */
import type { Attributes, AttributeValue, FlowEvent, LoggedEvent } from "../../src/core/event.ts";
import { parseViews, type View, type ViewSource } from "../../src/log/message_view.ts";
import { type Spoken, SpokenMessages, type Tokens } from "../../src/log/spoken.ts";
import { completed, flowEvent, LogBuilder, requestHeaders, responseHeaders } from "./log_builder.ts";

export interface Said {
  readonly model: string | null;
  /** By the choice's key: its role, why it ended, its parts. */
  readonly choices: Readonly<Record<string, readonly (string | null)[]>>;
  readonly tokens: Tokens;
  readonly error: string | null;
  readonly gaps: readonly string[];
}

export function unitEvent(
  kind: "sse_event" | "ndjson_line",
  unit: unknown,
  more: Attributes = {},
): FlowEvent {
  const data = typeof unit === "string" ? unit : JSON.stringify(unit);
  return flowEvent(kind, {
    bytes: data.length,
    data,
    direction: "response",
    exchange_id: 1,
    index: 0,
    ...more,
  }, "h1:1");
}

export function payloadEvent(value: unknown, more: Attributes = {}): FlowEvent {
  const attributes = {
    bytes: 2,
    direction: "response",
    exchange_id: 1,
    format: "json",
    sanitized: false,
    stages: ["json"],
  };
  return flowEvent("payload_decoded", { ...attributes, value: value as AttributeValue, ...more }, "h1:1");
}

export function view(source: ViewSource): View {
  const views = parseViews([source], () => null);
  if ("type" in views) throw new Error(views.detail);
  return views[0]!;
}

export function feed(messages: SpokenMessages, events: readonly FlowEvent[]): void {
  const log = new LogBuilder().open();
  for (const line of log.add(log.flow(1), ...events).lines.slice(1)) {
    messages.event(JSON.parse(line) as LoggedEvent);
  }
}

/** The units as the events of a response that ended well. */
export function said(
  source: ViewSource,
  units: readonly unknown[],
  how: "sse_event" | "ndjson_line" | "payload",
): Spoken | null {
  const messages = new SpokenMessages(() => view(source));
  const events = units.map((unit) => how === "payload" ? payloadEvent(unit) : unitEvent(how, unit));
  feed(messages, [requestHeaders(1), responseHeaders(1, 200), ...events, completed(1)]);
  return messages.take("1-1", 1);
}

export function flatten({ model, choices, tokens, error, gaps }: Spoken): Said {
  const flat = choices.map(({ key, role, stop, parts }) => [
    key,
    [
      role,
      stop,
      ...parts.map((part) =>
        part.type === "tool" ? `tool: ${part.name} ${part.id} ${part.text}` : `${part.type}: ${part.text}`
      ),
    ],
  ]);
  return { model, choices: Object.fromEntries(flat), tokens, error, gaps };
}
