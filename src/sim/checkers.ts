/**
 * What must hold after every run, each rule a small function of its own over what the run left behind. A checker
 * knows nothing of how a session works; it looks at the log, at what passed the connections, and at what is left.
 */
import { LogVerifier } from "../log/verify.ts";
import { ProxySession } from "../proxy/session.ts";
import { dataOf, http2_conserved, http2_observed } from "./http2_checkers.ts";
import { join, textOf } from "./bytes.ts";
import { GRANTED_BYTES, readCapsules, readClientDatagrams } from "./datagram_workloads.ts";
import { passedBytes } from "./passed.ts";
import type { SimFlow, SimWorld } from "./world.ts";

export type Checker = (world: SimWorld, report: (detail: string) => void) => void;

export const CHECKERS = {
  log_verifies,
  sequence_is_contiguous,
  one_close,
  bytes_conserved,
  bytes_delivered,
  right_answers,
  bodies_observed,
  messages_observed,
  datagrams_conserved,
  http2_conserved,
  http2_observed,
  policy_kept,
  every_flow_ends,
  nothing_left,
  no_bugs,
} as const satisfies Record<string, Checker>;

export type CheckerName = keyof typeof CHECKERS;

/** The log passes what `log verify` checks. */
function log_verifies(world: SimWorld, report: (detail: string) => void): void {
  const verifier = new LogVerifier();
  world.log.lines.forEach((line, index) => {
    verifier.line(line.slice(0, -1), { lineNumber: index + 1, byteOffset: 0 });
  });
  const { violation } = verifier.finish();
  if (violation !== null) {
    const line = world.log.lines[violation.lineNumber - 1]!;
    report(
      `line ${violation.lineNumber} breaks ${violation.invariant}: ${violation.detail}\n    ${
        line.slice(0, 400)
      }`,
    );
  }
}

/** 1, 2, 3 … over the whole log, and in each flow. */
function sequence_is_contiguous(world: SimWorld, report: (detail: string) => void): void {
  const flows = new Map<string, number>();
  world.log.lines.slice(1).forEach((line, index) => {
    const found = /"sequence_id":([0-9]+),"flow_id":"([^"]+)","flow_sequence_id":([0-9]+),/.exec(line);
    const inFlow = (flows.get(found?.[2] ?? "") ?? 0) + 1;
    if (found === null || Number(found[1]) !== index + 1 || Number(found[3]) !== inFlow) {
      report(`event ${index + 1} is numbered ${found?.[1]}, ${found?.[3]} in its flow (expected ${inFlow})`);
    }
    if (found !== null) flows.set(found[2]!, inFlow);
  });
}

/** Exactly one `stream_closed` per flow, and nothing after it. */
function one_close(world: SimWorld, report: (detail: string) => void): void {
  for (const { id, events } of world.flows) {
    const closes = events.filter(({ kind }) => kind === "stream_closed").length;
    if (closes !== 1) report(`flow ${id} has ${closes} stream_closed`);
    else if (events.at(-1)!.kind !== "stream_closed") {
      report(`flow ${id} has ${events.at(-1)!.kind} after stream_closed`);
    }
  }
}

/** What the proxy forwards is what it received: no byte lost in the middle, added, or out of order. */
function bytes_conserved(world: SimWorld, report: (detail: string) => void): void {
  for (const flow of world.flows) {
    // Frames that the proxy adds stand between others; see `http2_conserved`.
    const passed = flow.plan.http2 === undefined ? passedBytes(flow) : null;
    if (passed === null) continue;
    const { fromClient, toServer, fromServer, toClient } = passed;
    const wrongToServer = firstDifference(toServer, fromClient);
    if (wrongToServer !== null) {
      report(`flow ${flow.id}: byte ${wrongToServer} to the server is not the client's`);
    }
    const wrongToClient = firstDifference(toClient, fromServer);
    if (wrongToClient !== null && !isAnswer(toClient, wrongToClient)) {
      report(`flow ${flow.id}: byte ${wrongToClient} to the client is not the server's`);
    }
  }
}

/** Where a flow is called complete, its peers got all that the proxy wrote to them. */
function bytes_delivered(world: SimWorld, report: (detail: string) => void): void {
  for (const flow of world.flows) {
    if (reasonOf(flow) !== "complete" || flow.wasStopped) continue;
    for (const conn of [flow.client, ...flow.servers]) {
      // A peer that aborted, that did not read, or that the link was cut from, has no claim to the rest.
      const { end, wasReset } = conn.peer;
      if (end.isClosed || wasReset || conn.end.wasReset || !end.isReading) continue;
      if (conn.end.peerRestedMs > PATIENCE_MS) continue;
      const written = bytesOf(conn.raw.writtenParts);
      const read = bytesOf(conn.peerReads.receivedParts);
      if (written === read) continue;
      const side = conn === flow.client ? "client" : "server";
      report(`flow ${flow.id} is called complete, but its ${side} got ${read} of ${written} bytes`);
    }
  }
}

/** A flow that nothing disturbs comes out as planned; no flow, whatever disturbs it, carries bytes nobody said. */
function right_answers(world: SimWorld, report: (detail: string) => void): void {
  for (const flow of world.flows) {
    const { id, plan, outcome, mismatches } = flow;
    // Nobody planned what comes after an end.
    if ([flow.client, ...flow.servers].some(({ end }) => end.heardLateData)) continue;
    for (const { detail } of mismatches) report(`flow ${id} (${plan.name}): a server got ${detail}`);
    if (outcome !== null && outcome !== "done" && outcome.kind === "mismatch") {
      report(`flow ${id} (${plan.name}): the client got ${outcome.detail}`);
      continue;
    }
    if (!flow.isSound) continue;
    if (outcome === null) report(`flow ${id} (${plan.name}): the client still waits`);
    else if (outcome !== "done") {
      report(`flow ${id} (${plan.name}): the client was ${outcome.kind}: ${outcome.detail}`);
    }
    for (const [authority, server] of plan.servers) {
      if (!server.isOver()) report(`flow ${id} (${plan.name}): the server ${authority} still waits`);
    }
    const reason = reasonOf(flow);
    if (!(plan.reasons as readonly unknown[]).includes(reason)) {
      report(`flow ${id} (${plan.name}): ended as ${reason}, expected ${plan.reasons.join(" or ")}`);
    }
  }
}

/** Every datagram that came is passed on once, whole and in its order, or counted as dropped. */
function datagrams_conserved(world: SimWorld, report: (detail: string) => void): void {
  for (const { id, plan, client, datagrams: [server], events } of world.flows) {
    const closed = events.find(({ kind }) => kind === "stream_closed")?.attributes;
    if (plan.datagrams !== true || server === undefined || closed === undefined) continue;
    const count = (name: string) => closed[name] as number | undefined;
    if (count("datagrams_from_client") === undefined) continue;
    const toServer = count("datagrams_from_client")! - count("datagrams_dropped_from_client")!;
    if (toServer !== server.sent.length) {
      report(`flow ${id}: the server was sent ${server.sent.length} datagrams, the log says ${toServer}`);
    }
    if (count("datagrams_from_server")! > server.received) {
      report(`flow ${id}: the log has ${count("datagrams_from_server")} datagrams of ${server.received}`);
    }
    const written = join(...client.raw.writtenParts).subarray(GRANTED_BYTES);
    const { datagrams, rest } = readCapsules(written);
    const toClient = count("datagrams_from_server")! - count("datagrams_dropped_from_server")!;
    if (datagrams.length !== toClient || rest > 0) {
      report(
        `flow ${id}: the client was sent ${datagrams.length} capsules and ${rest} octets, the log says ${toClient}`,
      );
    }
    const said = readClientDatagrams(client.raw.receivedParts);
    let at = 0;
    for (const sent of server.sent) {
      while (at < said.length && textOf(said[at]!) !== textOf(sent)) at++;
      if (at++ < said.length) continue;
      report(`flow ${id}: a datagram to the server is none of the client's, or out of order`);
      break;
    }
  }
}

/** The messages of a WebSocket in the log are those that were sent, in their order, and all of them if nothing disturbs it. */
function messages_observed(world: SimWorld, report: (detail: string) => void): void {
  for (const { id, plan, events, isSound } of world.flows) {
    if (plan.webSocket === undefined) continue;
    for (const by of ["client", "server"] as const) {
      const direction = by === "client" ? "request" : "response";
      const planned = plan.webSocket[by];
      const told = events.filter(({ kind, attributes }) =>
        kind === "ws_message" && attributes["direction"] === direction
      );
      for (const [index, { attributes }] of told.entries()) {
        const content = planned[index];
        const whole = attributes["complete"] !== false;
        const data = dataOf(attributes);
        const bytes = attributes["bytes"] as number;
        if (content === undefined) {
          // Octets that are no frames may look like one.
          if (whole && !plan.name.startsWith("garbled")) {
            report(`flow ${id} (${plan.name}): the ${by} has a message ${index} that nobody sent`);
          }
        } else {
          const right = (whole ? bytes === content.length : bytes <= content.length) &&
            data.every((octet, at) => octet === content[at]);
          if (!right) report(`flow ${id} (${plan.name}): message ${index} of the ${by} is not what was sent`);
        }
      }
      if (isSound && told.length < planned.length) {
        report(`flow ${id} (${plan.name}): the ${by} has ${told.length} messages of ${planned.length}`);
      }
    }
  }
}

/** The bodies in the log are the bodies that were sent, as far as they were captured. */
function bodies_observed(world: SimWorld, report: (detail: string) => void): void {
  for (const { id, plan, events, isSound } of world.flows) {
    const planned = new Map(plan.exchanges.map((exchange) => [exchange.target, exchange]));
    const targets = new Map<string, string>();
    const spans = { request: new Map<string, Span[]>(), response: new Map<string, Span[]>() };
    for (const { kind, streamKey, attributes } of events) {
      if (kind === "request_headers") targets.set(streamKey, attributes["target"] as string);
      const message = kind === "request_body_chunk"
        ? "request"
        : kind === "response_body_chunk"
        ? "response"
        : null;
      if (message !== null) {
        const known = spans[message].get(streamKey) ?? [];
        known.push({
          offset: attributes["offset"] as number,
          bytes: attributes["bytes"] as number,
          data: dataOf(attributes),
        });
        spans[message].set(streamKey, known);
      }
      if (kind !== "exchange_completed" || attributes["outcome"] !== "complete") continue;
      const exchange = planned.get(targets.get(streamKey) ?? "");
      if (exchange === undefined) continue;
      for (const side of ["request", "response"] as const) {
        const body = side === "request" ? exchange.requestBody : exchange.responseBody;
        // A server that has answered need not wait for the rest of the request (RFC 9112 §9.5).
        const mayBePart = side === "request" && !isSound;
        const wrong = bodyFault(spans[side].get(streamKey) ?? [], body, mayBePart);
        if (wrong !== null) report(`flow ${id}, ${streamKey}: the ${side} body in the log ${wrong}`);
      }
    }
  }
}

/** A blocked target is never dialled, and a tunnelled one never enters the TLS path. */
function policy_kept(world: SimWorld, report: (detail: string) => void): void {
  for (const { id, plan, dialled, events, servers } of world.flows) {
    for (const authority of dialled) {
      const host = authority.slice(0, authority.lastIndexOf(":"));
      const action = plan.actions.get(host);
      if (action === "block") report(`flow ${id} dialled ${authority}, which is blocked`);
      if (action !== "tunnel" || !events.some(({ kind }) => kind.startsWith("tls_handshake"))) continue;
      report(`flow ${id} has handshakes, but ${authority} is tunnelled`);
    }
    const tunnelled = events.some(({ kind, attributes }) =>
      kind === "connect_decision" && attributes["action"] === "tunnel" && attributes["sni"] === undefined
    );
    if (tunnelled && servers.length === 1 && servers[0]!.isTls) {
      report(`flow ${id} is tunnelled, but its server was secured`);
    }
  }
}

/** Every flow ends in bounded time once faults stop, its connections included. */
function every_flow_ends(world: SimWorld, report: (detail: string) => void): void {
  for (const { id, plan, isClosed, isGone } of world.flows) {
    if (!isClosed) report(`flow ${id} (${plan.name}) has not ended`);
    else if (!isGone) report(`flow ${id} (${plan.name}) has ended, but its connections are still there`);
  }
}

/** Timers, bytes and connections are back to none. */
function nothing_left(world: SimWorld, report: (detail: string) => void): void {
  if (world.timer.pending > 0) report(`${world.timer.pending} timers are left`);
  if (world.deadlines.size > 0) report(`${world.deadlines.size} flows are left in the deadlines`);
  if (world.budget.bytes !== 0) report(`${world.budget.bytes} bytes are left in the budget`);
  if (world.observedBytes !== 0) report(`${world.observedBytes} bytes are left with observers`);
  if (world.openConns > 0) report(`${world.openConns} connections are left open`);
}

/** No session threw, none took a step that its table does not have, and contracts were kept. */
function no_bugs(world: SimWorld, report: (detail: string) => void): void {
  for (const bug of world.bugs) report(bug);
  for (const breach of world.breaches) report(breach);
  for (const { id, session, events } of world.flows) {
    if (session instanceof ProxySession && session.state.illegal > 0) {
      report(`flow ${id} took ${session.state.illegal} steps that are not in the table`);
    }
    if (events.some(({ attributes }) => attributes["reason_code"] === "internal_error")) {
      report(`flow ${id} ended as internal_error: ${events.at(-1)!.attributes["reason_detail"]}`);
    }
  }
}

/** How long a peer may rest and still get what is pending for it. */
const PATIENCE_MS = 1_900;

interface Span {
  readonly offset: number;
  readonly bytes: number;
  readonly data: Uint8Array;
}

function bodyFault(spans: readonly Span[], body: Uint8Array, mayBePart: boolean): string | null {
  let total = 0;
  for (const { offset, bytes, data } of spans) {
    if (offset !== total) return `goes on at ${offset} instead of ${total}`;
    total += bytes;
    const different = firstDifference(data, body.subarray(offset));
    if (different !== null) return `differs at ${offset + different}`;
  }
  return total === body.length || mayBePart ? null : `has ${total} bytes instead of ${body.length}`;
}

function reasonOf({ events }: SimFlow): unknown {
  return events.find(({ kind }) => kind === "stream_closed")?.attributes["reason_code"];
}

/** Where `bytes` is not the beginning of `whole`; null: it is. */
function firstDifference(bytes: Uint8Array, whole: Uint8Array): number | null {
  for (let index = 0; index < bytes.length; index++) if (bytes[index] !== whole[index]) return index;
  return null;
}

/** The proxy's own answer begins in what the server said, where both say `HTTP/1.1 `. */
function isAnswer(bytes: Uint8Array, at: number): boolean {
  const text = new TextDecoder("latin1").decode(bytes.subarray(Math.max(0, at - 13), at + 600));
  return /HTTP\/1\.1 [0-9]{3} [^\r]*\r\n(?:[^\r]+\r\n)*Proxy-Status: soth-mitm; error=/.test(text);
}

function bytesOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((sum, part) => sum + part.length, 0);
}
