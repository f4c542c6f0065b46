/** What must hold of HTTP/2 after every run; see `checkers.ts`. */
import type { FlowEvent } from "../core/event.ts";
import type { ReadField } from "./hpack_peer.ts";
import type { Http2Plan, StreamPlan } from "./http2_plan.ts";
import { readConnection, type ReferenceStream } from "./http2_reference.ts";
import { CODE, FrameCutter, PREFACE, type RawFrame, TYPE } from "./http2_wire.ts";
import { passedBytes } from "./passed.ts";
import type { SimFlow, SimWorld } from "./world.ts";

type Report = (detail: string) => void;

/**
 * What is forwarded is what came, frame by frame and to the octet, where nothing had to be withheld. The proxy may
 * only add GOAWAY, and in a sound flow not even that, unless its timer ends the flow.
 */
export function http2_conserved(world: SimWorld, report: Report): void {
  for (const flow of world.flows) {
    const { http2 } = flow.plan;
    if (http2 === undefined || http2?.isVerbatim === false) continue;
    // One that never came so far is a tunnel, or has the proxy's own answer in it.
    if (flow.events.at(-1)?.protocol !== "http2" || (!flow.isSound && hasProxyResets(flow))) continue;
    const passed = passedBytes(flow);
    if (passed === null) continue;
    const { fromClient, toServer, fromServer, toClient } = passed;
    const directions = [
      ["client", fromClient, toServer, http2?.endsFirst !== "server"],
      ["server", fromServer, toClient, http2?.endsFirst !== "client"],
    ] as const;
    for (const [by, from, to, mustBeWhole] of directions) {
      const isWhole = flow.isSound && http2 !== null && mustBeWhole;
      const addsGoaway = !flow.isSound || http2 === null || http2.endsFirst === "nobody";
      const fault = directionFault(by === "client", from, to, { isWhole, addsGoaway });
      if (fault !== null) report(`flow ${flow.id} (${flow.plan.name}): to the ${by}'s peer ${fault}`);
    }
  }
}

/** Streams that do not go on are cancelled, those after the proxy's own GOAWAY refused: the rest is withheld. */
function hasProxyResets({ events }: SimFlow): boolean {
  return events.some(({ kind, attributes }) =>
    kind === "exchange_completed" && attributes["error_by"] === "proxy" &&
    attributes["outcome"] !== "complete"
  );
}

function directionFault(
  hasPreface: boolean,
  from: Uint8Array,
  to: Uint8Array,
  { isWhole, addsGoaway }: { readonly isWhole: boolean; readonly addsGoaway: boolean },
): string | null {
  const skipped = hasPreface ? PREFACE.length : 0;
  // A preface that is broken is never forwarded, and GOAWAY stands alone.
  const isBegun = !hasPreface || to.length === 0 || to[0] === PREFACE[0];
  if (isBegun && !startsWith(from, to.subarray(0, skipped))) return "goes another preface";
  const came = new FrameCutter();
  const went = new FrameCutter();
  const sent = came.push(from.subarray(skipped));
  const forwarded = went.push(to.subarray(isBegun ? skipped : 0));
  let next = 0;
  let added = 0;
  for (const frame of forwarded) {
    if (next < sent.length && equal(frame, sent[next]!)) next++;
    else if (frame.type === TYPE.goaway && addsGoaway) added++;
    // Before the server has said anything, the proxy must greet the client itself to tell it of an error.
    else if (frame.type === TYPE.settings && !hasPreface && next === 0 && addsGoaway) added++;
    else return `frame ${next + added + 1} goes as ${describe(frame)}, not as ${describe(sent[next])}`;
  }
  const partial = sent[next]?.bytes ?? came.rest;
  if (!startsWith(partial, went.rest)) return `goes a part of a frame that is not the next one's`;
  return isWhole && next < sent.length ? `${sent.length - next} frames never go` : null;
}

/** The events of each stream are those that a reference decoder finds in the octets that came. */
export function http2_observed(world: SimWorld, report: Report): void {
  for (const flow of world.flows) {
    const plan = flow.plan.http2;
    if (plan === undefined || plan === null) continue;
    if ([flow.client, ...flow.servers].some(({ end }) => end.heardLateData)) continue;
    const passed = passedBytes(flow);
    if (passed === null) continue;
    const streams = readConnection(passed.fromClient, passed.fromServer);
    const events = byStream(flow.events);
    for (const [id, seen] of events) {
      const fault = streamFault(flow, plan, seen, streams.get(id));
      if (fault !== null) report(`flow ${flow.id} (${flow.plan.name}), stream ${id}: ${fault}`);
    }
    if (!flow.isSound) continue;
    for (const [id, { requestBlocks }] of streams) {
      if (requestBlocks.length > 0 && !events.has(id)) report(`flow ${flow.id}: stream ${id} is in no event`);
    }
  }
}

function streamFault(
  flow: SimFlow,
  plan: Http2Plan,
  events: readonly FlowEvent[],
  stream: ReferenceStream | undefined,
): string | null {
  if (stream === undefined) return "has events, but no octets";
  const path = stream.requestBlocks[0]?.find(({ name }) => name === ":path")?.value;
  const planned = plan.streams.flatMap((one) => [one, ...one.pushes]).find((one) => one.path === path);
  const completed = events.filter(({ kind }) => kind === "exchange_completed");
  if (completed.length !== 1) return `has ${completed.length} exchange_completed`;
  const outcome = completed[0]!.attributes["outcome"];
  const allowed = outcomesOf(planned, plan);
  if (flow.isSound && !allowed.includes(outcome as string)) {
    return `ended as ${outcome}, expected ${allowed.join(" or ")}`;
  }
  const isWhole = flow.isSound && allowed.length === 1 && outcome === "complete" && planned?.reset === null;
  return requestFault(events, stream, isWhole) ??
    headsFault(events, stream, isWhole) ??
    bodyFault(events, "request", stream.requestBody, isWhole) ??
    bodyFault(events, "response", stream.responseBody, isWhole);
}

function outcomesOf(planned: StreamPlan | undefined, plan: Http2Plan): string[] {
  // One whose path could not be read.
  if (planned === undefined) return ["protocol_error"];
  const { reset, flaw } = planned;
  const left = plan.serverLeavesAfter === null ? [] : ["reset"];
  if (flaw !== null) {
    if (flaw.code === CODE.enhance_your_calm) return ["limit"];
    return flaw.code === CODE.stream_closed ? ["protocol_error", "complete"] : ["protocol_error"];
  }
  if (reset === null || reset.code === CODE.no_error && reset.by === "server") return ["complete", ...left];
  return reset.by === "client" ? ["client_aborted", "complete", ...left] : ["reset"];
}

function requestFault(
  events: readonly FlowEvent[],
  { requestBlocks }: ReferenceStream,
  isWhole: boolean,
): string | null {
  const heads = events.filter(({ kind }) => kind === "request_headers");
  if (heads.length > 1 || (isWhole && heads.length === 0)) return `has ${heads.length} request_headers`;
  const trailers = events.filter(({ kind }) => kind === "request_trailers");
  if (trailers.length > 1) return `has ${trailers.length} request_trailers`;
  for (const { attributes } of heads) {
    const block = requestBlocks[0] ?? [];
    const of = (name: string) => block.find((field) => field.name === name)?.value;
    const said = [of(":method"), of(":path"), of(":scheme"), of(":authority")];
    const told = ["method", "target", "scheme", "authority"].map((name) => attributes[name]);
    if (!said.every((value, index) => value === told[index])) return `is told as ${told}, not as ${said}`;
    const fault = fieldsFault(attributes["headers"], block);
    if (fault !== null) return fault;
  }
  for (const { attributes } of trailers) {
    const fault = fieldsFault(attributes["headers"], requestBlocks[1] ?? []);
    if (fault !== null) return fault;
  }
  return isWhole && trailers.length !== requestBlocks.length - 1 ? "has no request_trailers" : null;
}

function headsFault(
  events: readonly FlowEvent[],
  { responseBlocks }: ReferenceStream,
  isWhole: boolean,
): string | null {
  const told = events.filter(({ kind }) => kind === "response_headers" || kind === "response_trailers");
  for (const [index, { kind, attributes }] of told.entries()) {
    const block = responseBlocks[index];
    if (block === undefined) return `has ${kind} that nobody sent`;
    const status = block.find(({ name }) => name === ":status")?.value;
    const isTrailers = status === undefined;
    if (isTrailers !== (kind === "response_trailers")) return `has ${kind} for a block with status ${status}`;
    if (!isTrailers && attributes["status"] !== Number(status)) return `has status ${attributes["status"]}`;
    const fault = fieldsFault(attributes["headers"], block);
    if (fault !== null) return fault;
  }
  return isWhole && told.length !== responseBlocks.length
    ? `has ${told.length} of ${responseBlocks.length} response blocks`
    : null;
}

function fieldsFault(told: unknown, block: readonly ReadField[]): string | null {
  const said = block.filter(({ name }) => !name.startsWith(":")).map(({ name, value }) => [
    name,
    name === "cookie" ? `[redacted ${value.length} bytes]` : value,
  ]);
  const [is, expected] = [JSON.stringify(told), JSON.stringify(said)];
  return is === expected ? null : `has fields ${is.slice(0, 300)} instead of ${expected.slice(0, 300)}`;
}

function bodyFault(
  events: readonly FlowEvent[],
  side: "request" | "response",
  body: Uint8Array,
  isWhole: boolean,
): string | null {
  let total = 0;
  for (const { kind, attributes } of events) {
    if (kind !== `${side}_body_chunk`) continue;
    if (attributes["offset"] !== total) return `the ${side} goes on at ${attributes["offset"]}, not ${total}`;
    const data = dataOf(attributes);
    if (!startsWith(body.subarray(total), data)) return `the ${side} differs from ${total} on`;
    total += attributes["bytes"] as number;
  }
  const isRight = isWhole ? total === body.length : total <= body.length;
  return isRight ? null : `the ${side} has ${total} octets instead of ${body.length}`;
}

const encoder = new TextEncoder();

export function dataOf(attributes: FlowEvent["attributes"]): Uint8Array {
  const text = attributes["data"];
  const base64 = attributes["data_base64"];
  if (typeof text === "string") return encoder.encode(text);
  return typeof base64 === "string" ? Uint8Array.fromBase64(base64) : new Uint8Array(0);
}

function byStream(events: readonly FlowEvent[]): Map<number, FlowEvent[]> {
  const streams = new Map<number, FlowEvent[]>();
  for (const event of events) {
    if (!event.streamKey.startsWith("h2:")) continue;
    const id = Number(event.streamKey.slice("h2:".length));
    streams.set(id, [...streams.get(id) ?? [], event]);
  }
  return streams;
}

function equal(frame: RawFrame, other: RawFrame): boolean {
  return frame.bytes.length === other.bytes.length && startsWith(frame.bytes, other.bytes);
}

function describe(frame: RawFrame | undefined): string {
  if (frame === undefined) return "nothing";
  return `type ${frame.type} on stream ${frame.streamId} with ${frame.payload.length} octets`;
}

function startsWith(bytes: Uint8Array, start: Uint8Array): boolean {
  if (start.length > bytes.length) return false;
  for (let index = 0; index < start.length; index++) if (bytes[index] !== start[index]) return false;
  return true;
}
