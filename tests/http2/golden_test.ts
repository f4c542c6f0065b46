/**
 * The golden cases of `fixtures/http2`: octets of one side, and what framing, HPACK and validation
 * tell of them, replayed at every read size.
 */
import { HpackDecoder } from "../../src/http2/hpack_decoder.ts";
import { errorCodeName, type Http2Error } from "../../src/http2/errors.ts";
import { readRequest, readResponse, readTrailers } from "../../src/http2/field_section.ts";
import type { ControlFrame } from "../../src/http2/frames.ts";
import { type HeaderBlock, HeaderBlockAssembler, isBlockFrame } from "../../src/http2/header_block.ts";
import { MessageOrder } from "../../src/http2/message_order.ts";
import { type GoldenInput, type GoldenRun, showBytes, testGolden } from "../support/golden.ts";
import { opening } from "./frame_builder.ts";
import { transcribe } from "./transcript.ts";

testGolden("http2", (input, reads) => run(input, reads));

/** `client` or `server`: whose octets these are. They follow the preface and empty SETTINGS. */
function run({ kind, options }: GoldenInput, reads: readonly Uint8Array[]): GoldenRun {
  const by = kind === "client" ? "client" : "server";
  const number = (name: string, otherwise: number) => Number(options.get(name) ?? otherwise);
  const transcript = transcribe({ by, maxHeldBytes: number("held", 65_536) }, [opening(by), ...reads]);
  const assembler = new HeaderBlockAssembler(by, {
    maxBlockBytes: number("block", 65_536),
    maxContinuations: number("continuations", 8),
  });
  const decoder = new HpackDecoder(by, {
    maxHeaderListSize: number("list", 65_536),
    maxHeaderFields: number("fields", 256),
    maxTableBytes: 65_536,
  });
  const orders = new Map<number, MessageOrder>();
  const trace: string[] = [];

  const orderOf = (streamId: number) => {
    const order = orders.get(streamId) ?? new MessageOrder(by, streamId);
    orders.set(streamId, order);
    return order;
  };
  let ended = false;
  const tellError = (error: Http2Error): void => {
    ended ||= error.scope === "connection";
    trace.push(
      `${error.scope} error ${error.code} (${error.errorCode}) by ${error.by} on ${error.streamId} at ${error.offset}: ` +
        `${error.detail}`,
    );
  };
  const tellBlock = ({ opening, bytes }: HeaderBlock): void => {
    const { streamId } = opening;
    const decoded = decoder.decode(bytes, streamId);
    if (decoded.type === "error") return tellError(decoded);
    const origin = { by, streamId } as const;
    const promised = opening.type === "push_promise";
    const order = orderOf(streamId);
    const endStream = opening.type === "headers" && opening.endStream;
    const section = promised
      ? readRequest(decoded.fields, origin)
      : order.next === "trailers"
      ? readTrailers(decoded.fields, origin)
      : by === "client"
      ? readRequest(decoded.fields, origin)
      : readResponse(decoded.fields, origin);
    if (section.type === "error") return tellError(section);
    const { type, fields, ...control } = section;
    trace.push(`  ${promised ? "promised " : ""}${type} ${JSON.stringify(control)}`);
    for (const [name, value] of fields) trace.push(`  field ${name}: ${JSON.stringify(value)}`);
    trace.push(`  table ${decoder.tableSize} of ${decoder.tableMaxSize}`);
    if (promised) return;
    const error = section.type === "trailers"
      ? order.trailers(endStream)
      : order.head(section, endStream, options.get("method") ?? "GET");
    if (error !== null) tellError(error);
  };

  for (const told of transcript.told.slice(by === "client" ? 2 : 1)) {
    if (ended) break;
    switch (told.type) {
      case "frame": {
        trace.push(showFrame(told.frame));
        if (!isBlockFrame(told.frame)) break;
        const block = assembler.push(told.frame, new Uint8Array(0));
        if (block?.type === "error") tellError(block);
        else if (block !== null) tellBlock(block);
        break;
      }
      case "pieces": {
        const { header, content, paddingBytes } = told;
        trace.push(
          `${
            header.type === 0 ? "data" : `type ${header.type}`
          } on ${header.streamId} flags ${header.flags} ` +
            `${showBytes(content)} padding ${paddingBytes}${told.ended ? "" : " unfinished"}`,
        );
        if (header.type !== 0) break;
        const error = orderOf(header.streamId).content(
          content.length,
          told.ended && (header.flags & 1) !== 0,
        );
        if (error !== null) tellError(error);
        break;
      }
      case "stream_error":
      case "error":
        tellError(told.error);
    }
  }
  trace.push(ended ? "the connection ends" : `raw ${transcript.forwarded.length - opening(by).length} bytes`);
  return { trace, rest: null };
}

function showFrame(frame: ControlFrame): string {
  const { type, ...rest } = frame;
  const shown = Object.entries(rest).map(([name, value]) =>
    `${name}=${
      value instanceof Uint8Array
        ? showBytes(value, 24)
        : name === "errorCode"
        ? errorCodeName(Number(value))
        : JSON.stringify(value)
    }`
  );
  return `${type} ${shown.join(" ")}`.trimEnd();
}
