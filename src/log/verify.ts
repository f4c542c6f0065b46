/**
 * `log verify`: every invariant of an event log, line by line, in memory that grows with what is open and
 * not with the log. The first line that breaks one ends the check.
 *
 * What a killed process leaves is no violation: flows without `stream_closed` at the end of the log, or
 * before a further `log_opened`, are counted as cut off; a torn last line is where the log ends.
 */
import { decodeUtf8 } from "../core/utf8.ts";
import { type AttributeValue, EVENT_KINDS, type EventKind, PROTOCOLS } from "../core/event.ts";
import { attributeFault } from "./attribute_rules.ts";
import { parseExact } from "../core/exact_json.ts";
import { encodeAttributes, encodeHeader, LINE_START, LOG_SCHEMA } from "./encode.ts";
import { NumberSet } from "./number_set.ts";
import { parseFlowId } from "./position.ts";
import { type Fault, FlowChecker, type Invariant } from "./verify_flow.ts";

export { type Invariant, INVARIANTS } from "./verify_flow.ts";

export interface LinePlace {
  /** Counted from 1 within its segment. */
  readonly lineNumber: number;
  /** Of the line's first byte within its segment. */
  readonly byteOffset: number;
}

export interface Violation extends Fault, LinePlace {
  readonly invariant: Invariant;
  readonly detail: string;
}

export interface Verdict {
  readonly violation: Violation | null;
  readonly openings: number;
  readonly events: number;
  readonly flows: number;
  readonly exchanges: number;
  /** Flows that have not ended where the log does: it was cut, or is still being written. */
  readonly openFlows: number;
  /** Flows that were cut off by the end of an earlier opening. */
  readonly cutFlows: number;
}

export class LogVerifier {
  readonly #flows = new Map<string, OpenFlow>();
  readonly #endedFlows = new NumberSet();
  #violation: Violation | null = null;
  #opening = 0;
  #openings = 0;
  #sequenceId = 0;
  #timeNs = 0;
  #flowCount = 0;
  #exchanges = 0;
  #cutFlows = 0;
  #last: Readonly<Record<string, unknown>> | null = null;

  /** The last line as an object, when it was an event that breaks nothing. */
  get lastEvent(): Readonly<Record<string, unknown>> | null {
    return this.#last;
  }

  /** A line without its line end. Gives the violation, also one of an earlier line. */
  line(line: Uint8Array | string, place: LinePlace): Violation | null {
    if (this.#violation !== null) return this.#violation;
    this.#last = null;
    const fault = this.#check(line);
    if (fault !== null) this.fail(fault, place);
    return this.#violation;
  }

  /** What follows the last line end: the beginning of a line, or of something that is no log. */
  torn(line: Uint8Array, place: LinePlace): Violation | null {
    const eventStart = LINE_START;
    const headerStart = `{"schema":"${LOG_SCHEMA}","kind":"log_opened"`;
    const start = new TextDecoder().decode(line.subarray(0, headerStart.length));
    const begins = [eventStart, headerStart].some((expected) =>
      expected.startsWith(start) || start.startsWith(expected)
    );
    if (!begins) {
      this.fail(
        { invariant: "line_end", detail: "the last line has no end and is not the beginning of one" },
        place,
      );
    }
    return this.#violation;
  }

  /** For what is checked beside the lines: the index. */
  fail(fault: Fault, place: LinePlace): void {
    this.#violation ??= { ...fault, ...place };
  }

  finish(): Verdict {
    return {
      violation: this.#violation,
      openings: this.#openings,
      events: this.#sequenceId,
      flows: this.#flowCount,
      exchanges: this.#exchanges,
      openFlows: this.#flows.size,
      cutFlows: this.#cutFlows,
    };
  }

  #check(line: Uint8Array | string): Fault | null {
    const text = typeof line === "string" ? line : decodeUtf8(line);
    if (text === null) return fault("utf8", "the line is not UTF-8");
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch (error) {
      return fault("json_object", `the line is not JSON: ${(error as Error).message}`);
    }
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      return fault("json_object", "the line is not a JSON object");
    }
    const object = parsed as Readonly<Record<string, unknown>>;
    if (object["schema"] !== LOG_SCHEMA) {
      return fault("schema", `schema is ${show(object["schema"])}, expected "${LOG_SCHEMA}"`);
    }
    if (object["kind"] === "log_opened") return this.#header(object, text);
    if (this.#openings === 0) return fault("header_first", "the first line is not log_opened");
    return this.#envelope(object, text);
  }

  #header(object: Readonly<Record<string, unknown>>, text: string): Fault | null {
    const keys = keysFault(object, HEADER_KEYS);
    if (keys !== null) return fault("header_keys", keys);
    const { version, opened_at, config_digest, opening, continues_sequence_id, continues_time_ns } = object;
    if (typeof version !== "string" || typeof opened_at !== "string" || typeof config_digest !== "string") {
      return fault("header_keys", "version, opened_at and config_digest are not all strings");
    }
    if (!isCount(opening) || !isCount(continues_sequence_id) || !isCount(continues_time_ns)) {
      return fault(
        "header_keys",
        "opening, continues_sequence_id and continues_time_ns are not all whole numbers",
      );
    }
    const canonical = encodeHeader({
      version,
      openedAt: opened_at,
      configDigest: config_digest,
      opening,
      continuesSequenceId: continues_sequence_id,
      continuesTimeNs: continues_time_ns,
    });
    if (text + "\n" !== canonical) return notCanonical("the line");
    if (opening <= this.#opening) {
      return fault("header_continues", `opening is ${opening}, the one before is ${this.#opening}`);
    }
    if (continues_sequence_id !== this.#sequenceId) {
      return fault(
        "header_continues",
        `continues_sequence_id is ${continues_sequence_id}, the last event before is ${this.#sequenceId}`,
      );
    }
    if (continues_time_ns < this.#timeNs) {
      return fault(
        "header_continues",
        `continues_time_ns is ${continues_time_ns}, the last event before is at ${this.#timeNs}`,
      );
    }
    this.#opening = opening;
    this.#openings++;
    this.#timeNs = continues_time_ns;
    this.#cutFlows += this.#flows.size;
    this.#flows.clear();
    this.#endedFlows.clear();
    return null;
  }

  #envelope(object: Readonly<Record<string, unknown>>, text: string): Fault | null {
    const keys = keysFault(object, ENVELOPE_KEYS);
    if (keys !== null) return fault("envelope_keys", keys);
    const { attributes, kind, protocol, stream_key, time_ns } = object;
    if (typeof attributes !== "object" || attributes === null || Array.isArray(attributes)) {
      return fault("attributes", "attributes is not an object");
    }
    const form = canonicalFault(object, attributes as AttributeValue, text);
    if (form !== null) return form;

    if (object["sequence_id"] !== this.#sequenceId + 1) {
      return fault("sequence_id", `found ${show(object["sequence_id"])}, expected ${this.#sequenceId + 1}`);
    }
    if (typeof time_ns !== "number" || !Number.isInteger(time_ns) || time_ns <= this.#timeNs) {
      return fault("time_ns", `found ${show(time_ns)}, expected a whole number above ${this.#timeNs}`);
    }
    if (typeof kind !== "string" || !KINDS.has(kind)) {
      return fault("kind", `${show(kind)} is not a kind of event`);
    }
    if (typeof protocol !== "string" || !KNOWN_PROTOCOLS.has(protocol)) {
      return fault("protocol", `${show(protocol)} is not a protocol`);
    }
    if (typeof stream_key !== "string" || !STREAM_KEY.test(stream_key)) {
      return fault("stream_key", `${show(stream_key)} is not flow, h1:EXCHANGE or h2:STREAM`);
    }
    const server = serverFault(object);
    if (server !== null) return server;

    const checked = {
      kind: kind as EventKind,
      protocol,
      streamKey: stream_key,
      attributes: attributes as Readonly<Record<string, AttributeValue>>,
    };
    const wrong = attributeFault(checked.kind, checked.attributes);
    const fitting = wrong === null ? null : fault("attributes", wrong.detail);
    const inFlow = this.#inFlow(object, fitting === null ? checked : null);
    if (inFlow !== null) return inFlow;
    if (fitting !== null) return fitting;

    this.#sequenceId++;
    this.#timeNs = time_ns;
    if (kind === "exchange_completed") this.#exchanges++;
    this.#last = object;
    return null;
  }

  /** `event` is null where its attributes are wrong already: then only the flow's own keys are looked at. */
  #inFlow(
    object: Readonly<Record<string, unknown>>,
    event: Parameters<FlowChecker["event"]>[0] | null,
  ): Fault | null {
    const { flow_id, flow_sequence_id, client_addr } = object;
    const parsedId = parseFlowId(flow_id);
    if (parsedId === null || parsedId.opening !== this.#opening) {
      return fault(
        "flow_id",
        `${show(flow_id)} is not ${this.#opening}-NUMBER, an id of this opening of the log`,
      );
    }
    const flowId = flow_id as string;
    let flow = this.#flows.get(flowId);
    if (flow === undefined) {
      if (this.#endedFlows.has(parsedId.flow)) {
        return fault("stream_closed", `an event of flow ${flowId} comes after its stream_closed`);
      }
      if (typeof client_addr !== "string") {
        return fault("client_addr", `${show(client_addr)} is not a string`);
      }
      flow = { sequence: 0, clientAddr: client_addr, checker: new FlowChecker() };
      this.#flows.set(flowId, flow);
      this.#flowCount++;
    }
    if (flow_sequence_id !== flow.sequence + 1) {
      return fault(
        "flow_sequence_id",
        `found ${show(flow_sequence_id)} in flow ${flowId}, expected ${flow.sequence + 1}`,
      );
    }
    if (client_addr !== flow.clientAddr) {
      return fault(
        "client_addr",
        `found ${show(client_addr)} in flow ${flowId}, expected ${show(flow.clientAddr)}`,
      );
    }
    flow.sequence++;
    if (event === null) return null;
    const broken = flow.checker.event(event);
    if (broken !== null) return broken;
    if (event.kind === "stream_closed") {
      this.#flows.delete(flowId);
      this.#endedFlows.add(parsedId.flow);
      if (this.#endedFlows.rangeCount > MAX_FLOW_GAPS) {
        return fault(
          "flow_id",
          `more than ${MAX_FLOW_GAPS} flow numbers are missing; flows are counted from 1`,
        );
      }
    }
    return null;
  }
}

interface OpenFlow {
  sequence: number;
  readonly clientAddr: string;
  readonly checker: FlowChecker;
}

const HEADER_KEYS = [
  "schema",
  "kind",
  "version",
  "opened_at",
  "config_digest",
  "opening",
  "continues_sequence_id",
  "continues_time_ns",
];

const ENVELOPE_KEYS = [
  "schema",
  "sequence_id",
  "flow_id",
  "flow_sequence_id",
  "time_ns",
  "kind",
  "protocol",
  "stream_key",
  "client_addr",
  "server_host",
  "server_port",
  "attributes",
];

const KINDS: ReadonlySet<string> = new Set(EVENT_KINDS);
const KNOWN_PROTOCOLS: ReadonlySet<string> = new Set(PROTOCOLS);
const STREAM_KEY = /^(?:flow|h[12]:[1-9][0-9]{0,15})$/;

/** Numbers that are missing are flows still open; a log with more of them than a proxy could hold is wrong. */
const MAX_FLOW_GAPS = 65_536;

function keysFault(object: Readonly<Record<string, unknown>>, expected: readonly string[]): string | null {
  const keys = Object.keys(object);
  for (let index = 0; index < Math.max(keys.length, expected.length); index++) {
    if (keys[index] === expected[index]) continue;
    return `key ${index + 1} is ${show(keys[index])}, expected ${show(expected[index])}`;
  }
  return null;
}

/** One value has one encoding: white space, repeated or unsorted keys and other spellings all show here. */
function canonicalFault(
  object: Readonly<Record<string, unknown>>,
  attributes: AttributeValue,
  text: string,
): Fault | null {
  const envelope = JSON.stringify({ ...object, attributes: 0 }).slice(0, -2);
  if (!text.startsWith(envelope)) return notCanonical("the envelope");
  try {
    const isWritten = (value: AttributeValue) => text === envelope + encodeAttributes(value) + "}";
    if (isWritten(attributes)) return null;
    // What was decoded may hold numbers that only their own text can say.
    const exact = object["kind"] === "payload_decoded" &&
      isWritten((parseExact(text) as { attributes: AttributeValue }).attributes);
    return exact ? null : notCanonical("attributes");
  } catch {
    return fault("canonical_form", "attributes are nested too deeply");
  }
}

function notCanonical(what: string): Fault {
  return fault(
    "canonical_form",
    `${what} is not in canonical form: keys sorted, each once, no white space (RFC 8785)`,
  );
}

function serverFault(
  { server_host: host, server_port: port }: Readonly<Record<string, unknown>>,
): Fault | null {
  if (typeof port !== "number" || !Number.isInteger(port) || port < 0 || port > 65535) {
    return fault("server", `server_port ${show(port)} is not a port`);
  }
  if (host === null) {
    return port === 0 ? null : fault("server", `server_port is ${port} without a server_host`);
  }
  if (typeof host !== "string" || host === "" || host !== host.toLowerCase() || /[[\]]/.test(host)) {
    return fault("server", `server_host ${show(host)} is not a host in lower case without brackets`);
  }
  return port === 0 ? fault("server", "server_port is 0 beside a server_host") : null;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0;
}

function show(value: unknown): string {
  if (value === undefined) return "missing";
  const text = JSON.stringify(value);
  return text.length > 60 ? text.slice(0, 60) + "…" : text;
}

function fault(invariant: Invariant, detail: string): Fault {
  return { invariant, detail };
}
