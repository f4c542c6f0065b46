/**
 * The event log's canonical line: one JSON object, envelope keys in the contract's order, one "\n".
 *
 * Attributes follow RFC 8785 (JCS) §3.2: keys sorted by UTF-16 code units at every depth, numbers and
 * strings as ECMAScript writes them, no white space. A number that no double can say (`core/exact_json.ts`), which
 * JCS has no place for, is written in its own digits. A lone surrogate, which JCS refuses, is written as
 * a `\udXXX` escape, so that every line is well-formed UTF-8 whatever a peer sent. One value has one
 * encoding: `log verify` re-encodes each line and compares.
 *
 * The `log_opened` line carries no `sequence_id`: it is no event. A log that is opened again gets a
 * further one, and the events after it go on counting (`continues_sequence_id`), go on in time
 * (`continues_time_ns` is that opening's zero) and have flow ids of that opening (`OPENING-NUMBER`).
 */
import type { Attributes, AttributeValue, FlowContext, FlowEvent } from "../core/event.ts";
import { recurringJson } from "./recurring.ts";

export const LOG_SCHEMA = "soth-mitm-event-log-v2";

/** What the `log_opened` line says; keys are written in this order, after `schema` and `kind`. */
export interface LogOpened {
  readonly version: string;
  /** The wall clock, ISO 8601: the only place in a log that depends on it. */
  readonly openedAt: string;
  readonly configDigest: string;
  /** 1 for the first opening of a log; flow ids start with it. */
  readonly opening: number;
  /** The last `sequence_id` before this line, 0 in a new log. */
  readonly continuesSequenceId: number;
  /** The `time_ns` that this opening's instants are added to, 0 in a new log. */
  readonly continuesTimeNs: number;
}

export function encodeHeader(header: LogOpened): string {
  return JSON.stringify({
    schema: LOG_SCHEMA,
    kind: "log_opened",
    version: header.version,
    opened_at: header.openedAt,
    config_digest: header.configDigest,
    opening: header.opening,
    continues_sequence_id: header.continuesSequenceId,
    continues_time_ns: header.continuesTimeNs,
  }) + "\n";
}

/** The part of a line that is the same in every log an event is written to. */
export function encodeEventTail(
  flowSequenceId: number,
  timeNs: number,
  context: FlowContext,
  event: FlowEvent,
): string {
  const flow = encodedFlow(context);
  return flow.id + flowSequenceId +
    ',"time_ns":' + timeNs +
    ',"kind":"' + event.kind +
    '","protocol":"' + event.protocol +
    '","stream_key":' + encodeString(event.streamKey) +
    flow.peers + encodeAttributes(event.attributes) + "}\n";
}

/** What the envelopes of a flow have in common, as text: it changes only with the server. */
interface EncodedFlow {
  readonly serverHost: string | null;
  readonly serverPort: number;
  readonly id: string;
  readonly peers: string;
}

const ENCODED_FLOWS = new WeakMap<FlowContext, EncodedFlow>();

function encodedFlow(context: FlowContext): EncodedFlow {
  const { serverHost, serverPort } = context;
  const known = ENCODED_FLOWS.get(context);
  if (known !== undefined && known.serverHost === serverHost && known.serverPort === serverPort) return known;
  const encoded: EncodedFlow = {
    serverHost,
    serverPort,
    id: ',"flow_id":' + encodeString(context.flowId) + ',"flow_sequence_id":',
    peers: ',"client_addr":' + encodeString(context.clientAddr) +
      ',"server_host":' + (serverHost === null ? "null" : encodeString(serverHost)) +
      ',"server_port":' + serverPort + ',"attributes":',
  };
  ENCODED_FLOWS.set(context, encoded);
  return encoded;
}

/** A line is this, the sequence id, and the tail. */
export const LINE_START = `{"schema":"${LOG_SCHEMA}","sequence_id":`;

export function encodeEvent(
  sequenceId: number,
  flowSequenceId: number,
  timeNs: number,
  context: FlowContext,
  event: FlowEvent,
): string {
  return LINE_START + sequenceId + encodeEventTail(flowSequenceId, timeNs, context, event);
}

/** Canonical JSON of any attribute value. */
export function encodeAttributes(attributes: Attributes | AttributeValue): string {
  // Sessions build attributes in order, so the native encoder nearly always gives the canonical form.
  if (!isSorted(attributes)) return encodeSorted(attributes);
  const headers = (attributes as Attributes)?.["headers"];
  const known = headers === undefined ? null : recurringJson(headers);
  return known === null ? JSON.stringify(attributes) : encodeAround(attributes as Attributes, known);
}

/** Sorted attributes whose `headers` are encoded already. */
function encodeAround(attributes: Attributes, headers: string): string {
  let text = "";
  for (const key in attributes) {
    const value = attributes[key]!;
    text += (text === "" ? '{"' : ',"') + key + '":' +
      (key === "headers" ? headers : typeof value === "string" ? encodeString(value) : JSON.stringify(value));
  }
  return text + "}";
}

// Most envelope strings are short and plain; a scan beats the native encoder for those.
function encodeString(value: string): string {
  const { length } = value;
  if (length > 64) return JSON.stringify(value);
  for (let index = 0; index < length; index++) {
    const code = value.charCodeAt(index);
    if (code < 0x20 || code > 0x7e || code === 0x22 || code === 0x5c) return JSON.stringify(value);
  }
  return '"' + value + '"';
}

function isSorted(value: AttributeValue): boolean {
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      const element: AttributeValue = value[index];
      if (typeof element === "object" && !isSorted(element)) return false;
    }
    return true;
  }
  let previous: string | null = null;
  for (const key in value) {
    if (previous !== null && key <= previous) return false;
    previous = key;
    const member = (value as Attributes)[key]!;
    if (typeof member === "object" && !isSorted(member)) return false;
  }
  return true;
}

// Written by hand and not by a sorted copy: an object always lists keys like "9" and "10" first and as numbers.
function encodeSorted(value: AttributeValue): string {
  if (typeof value === "string") return encodeString(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  if (Array.isArray(value)) {
    let elements = "";
    for (let index = 0; index < value.length; index++) {
      elements += (index === 0 ? "" : ",") + encodeSorted(value[index]);
    }
    return "[" + elements + "]";
  }
  if (JSON.isRawJSON(value)) return value.rawJSON;
  const object = value as Attributes;
  const { sorted, encoded } = keyOrder(Object.keys(object));
  let members = "";
  for (let index = 0; index < sorted.length; index++) {
    members += encoded[index]! + encodeSorted(object[sorted[index]!]!);
  }
  return "{" + members + "}";
}

/** The keys of an object in order, and each as it is written, with what goes before it. */
interface KeyOrder {
  readonly keys: readonly string[];
  readonly sorted: readonly string[];
  readonly encoded: readonly string[];
}

// The objects of a list nearly always have the keys of the one before; those below them have others, so a few are kept.
const KEY_ORDERS: (KeyOrder | undefined)[] = Array(16).fill(undefined);
/** What is kept stays small, whatever keys a peer invents. */
const KEPT_KEYS_MAX = 32;
const KEPT_KEY_LENGTH_MAX = 64;

function keyOrder(keys: readonly string[]): KeyOrder {
  const slot = (keys.length + 5 * (keys[0]?.length ?? 0)) % KEY_ORDERS.length;
  const known = KEY_ORDERS[slot];
  if (known !== undefined && sameKeys(known.keys, keys)) return known;
  const sorted = keys.toSorted();
  const encoded = sorted.map((key, index) => (index === 0 ? "" : ",") + encodeString(key) + ":");
  const order = { keys, sorted, encoded };
  if (keys.length <= KEPT_KEYS_MAX && keys.every((key) => key.length <= KEPT_KEY_LENGTH_MAX)) {
    KEY_ORDERS[slot] = order;
  }
  return order;
}

function sameKeys(some: readonly string[], others: readonly string[]): boolean {
  if (some.length !== others.length) return false;
  for (let index = 0; index < some.length; index++) {
    if (some[index] !== others[index]) return false;
  }
  return true;
}
