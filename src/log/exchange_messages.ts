/**
 * What the messages of an exchange hold, for a person: payloads as they were decoded, and the units of streams, a
 * line each, in the order of the log. Follows the generic events; keeps the lines of each open exchange, up to a
 * limit, and the first span of its bodies: text has its value there (`value_omitted`).
 */
import type { Attributes, AttributeValue, LoggedEvent } from "../core/event.ts";
import { numberOf, textOf } from "./event_attributes.ts";
import { visible } from "./visible.ts";

/** One thing that was said. Texts are as a peer sent them. */
export interface SaidLine {
  /** `request` and what follows it from the client, `response` likewise; null: of both, or of neither. */
  readonly direction: "request" | "response" | null;
  /** What it is: `json (gzip)`, `event`, `text`, `turn 2`. */
  readonly what: string;
  readonly text: string;
  /** Something that could not be read. */
  readonly failed: boolean;
}

export interface ExchangeMessages {
  readonly lines: readonly SaidLine[];
  /** How many more there were than are kept. */
  readonly omitted: number;
}

/** What is kept of an exchange, and of each line. */
export const SAID_LINES_MAX = 1_000;
export const SAID_CHARACTERS_MAX = 4_096;

interface OpenExchange {
  readonly lines: SaidLine[];
  omitted: number;
  /** The first span of each body, where it is text. */
  readonly bodies: { request: string | null; response: string | null };
}

export class MessagesOfExchanges {
  readonly #flows = new Map<string, Map<number, OpenExchange>>();

  event(event: LoggedEvent): void {
    const id = event.attributes["exchange_id"];
    if (event.kind === "stream_closed") this.#flows.delete(event.flow_id);
    if (typeof id !== "number") return;
    if (event.kind === "request_body_chunk" || event.kind === "response_body_chunk") {
      const { offset, data } = event.attributes;
      if (offset !== 0 || typeof data !== "string") return;
      this.#exchange(event.flow_id, id).bodies[event.kind === "request_body_chunk" ? "request" : "response"] =
        data;
      return;
    }
    const line = lineOf(event, (side) => this.#flows.get(event.flow_id)?.get(id)?.bodies[side] ?? null);
    if (line === null) return;
    const messages = this.#exchange(event.flow_id, id);
    if (messages.lines.length === SAID_LINES_MAX) messages.omitted++;
    else messages.lines.push({ ...line, text: cut(line.text) });
  }

  /** What was said in an exchange, which is then forgotten. */
  take(flowId: string, exchangeId: number): ExchangeMessages {
    const flow = this.#flows.get(flowId);
    const { lines, omitted } = flow?.get(exchangeId) ?? { lines: [], omitted: 0 };
    flow?.delete(exchangeId);
    return { lines, omitted };
  }

  #exchange(flowId: string, id: number): OpenExchange {
    let flow = this.#flows.get(flowId);
    if (flow === undefined) this.#flows.set(flowId, flow = new Map());
    let exchange = flow.get(id);
    if (exchange === undefined) {
      flow.set(id, exchange = { lines: [], omitted: 0, bodies: { request: null, response: null } });
    }
    return exchange;
  }

  /** The log was opened again: what was open is gone. */
  clear(): void {
    this.#flows.clear();
  }
}

/** Lines to print below that of the exchange. */
export function messageLines(
  { lines, omitted }: ExchangeMessages,
  { colour }: { readonly colour: boolean },
): string[] {
  const paint = (code: string, text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  const shown = lines.map(({ direction, what, text, failed }) => {
    const mark = direction === "request" ? ">" : direction === "response" ? "<" : "-";
    const head = paint(failed ? RED : DIM, `${mark} ${visible(what)}`);
    return `    ${head}${text === "" ? "" : ` ${visible(text)}`}`;
  });
  return omitted === 0 ? shown : [...shown, `    ${paint(DIM, `and ${omitted} more`)}`];
}

const DIM = "2";
const RED = "31";

type BodyOf = (side: "request" | "response") => string | null;

function lineOf({ kind, attributes }: LoggedEvent, bodyOf: BodyOf): SaidLine | null {
  const side = textOf(attributes["direction"]);
  const direction = side === "request" || side === "response" ? side : null;
  const line = (what: string, text: string, failed = false): SaidLine => ({ direction, what, text, failed });
  switch (kind) {
    case "payload_decoded":
      return payloadLine(attributes, line, direction === null ? null : bodyOf(direction));
    case "sse_event":
      return line(words("event", textOf(attributes["event"]), cutMark(attributes)), dataOf(attributes));
    case "ndjson_line":
      return line(words("line", cutMark(attributes)), dataOf(attributes));
    case "grpc_message":
      return line("message", `${numberOf(attributes["bytes"])} bytes`);
    case "multipart_part":
      return line("part", words(disposition(attributes), `${numberOf(attributes["bytes"])} bytes`));
    case "ws_turn_started":
      return line(
        `turn ${numberOf(attributes["turn_id"])}, begun by the ${textOf(attributes["initiator"])}`,
        "",
      );
    case "ws_turn_completed":
      return turnOver(attributes, line);
    case "ws_message":
      return line(words(textOf(attributes["opcode"]), cutMark(attributes)), dataOf(attributes));
    case "ws_control":
      return textOf(attributes["opcode"]) === "close"
        ? line("close", words(String(numberOf(attributes["code"])), textOf(attributes["reason"])))
        : null;
    case "decoder_failed":
      return line(`not decoded: ${textOf(attributes["stage"])}`, textOf(attributes["reason"]), true);
    case "observer_stopped":
      return line(`not read on: ${textOf(attributes["observer"])}`, textOf(attributes["reason"]), true);
    default:
      return null;
  }
}

/** Of a unit its own event has said it, unless it is a part, which is told by its size, or MsgPack, which nobody reads. */
function payloadLine(
  attributes: Attributes,
  line: (what: string, text: string) => SaidLine,
  body: string | null,
): SaidLine | null {
  const format = textOf(attributes["format"]);
  const { value, stages } = attributes;
  const isPart = Array.isArray(stages) && stages.includes("multipart");
  if (attributes["index"] !== undefined && format !== "msgpack" && !isPart) return null;
  const through = Array.isArray(stages)
    ? stages.slice(0, -1).map(textOf).filter((stage) => stage !== "chunked")
    : [];
  const what = through.length === 0 ? format : `${format} (${through.join(", ")})`;
  const isRead = Array.isArray(stages) && stages.at(-1) === format;
  if (value === undefined && format === "text" && isRead && body !== null) return line(what, body);
  if (value === undefined) return line(what, `${numberOf(attributes["bytes"])} bytes`);
  return line(what, valueText(value));
}

function valueText(value: AttributeValue): string {
  if (typeof value === "string") return value;
  try {
    return JSON.stringify(value);
  } catch {
    // Only a log that this proxy has not written holds what is nested so deeply.
    return "(nested too deeply to be shown)";
  }
}

/** A turn that another follows at once is seen to be over. */
function turnOver(
  attributes: Attributes,
  line: (what: string, text: string) => SaidLine,
): SaidLine | null {
  const reason = textOf(attributes["flush_reason"]);
  return reason === "rollover" ? null : line(`turn ${numberOf(attributes["turn_id"])} over: ${reason}`, "");
}

function dataOf(attributes: Attributes): string {
  const { data, opcode } = attributes;
  return typeof data === "string" && opcode !== "binary" ? data : `${numberOf(attributes["bytes"])} bytes`;
}

function cutMark(attributes: Attributes): string {
  return attributes["complete"] === false
    ? "(cut)"
    : attributes["truncated"] === true
    ? "(recorded in part)"
    : "";
}

function words(...all: readonly string[]): string {
  return all.filter((word) => word !== "").join(" ");
}

function disposition(attributes: Attributes): string {
  const { headers } = attributes;
  if (!Array.isArray(headers)) return "";
  for (const field of headers as readonly AttributeValue[]) {
    if (!Array.isArray(field)) continue;
    const [name, value] = field as readonly AttributeValue[];
    if (textOf(name).toLowerCase() === "content-disposition") return textOf(value);
  }
  return "";
}

function cut(text: string): string {
  return text.length <= SAID_CHARACTERS_MAX
    ? text
    : `${text.slice(0, SAID_CHARACTERS_MAX)}... (${text.length - SAID_CHARACTERS_MAX} more characters)`;
}
