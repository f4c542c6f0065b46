/**
 * What GOAWAY says (RFC 9113 §6.8): which streams a side will not process, so that nobody resets them any
 * more, and why it goes. Each side's last one counts.
 *
 * The proxy says GOAWAY, too, in the name of either side, and no GOAWAY may name a higher stream than one
 * before it: nghttp2 takes that for an error of the connection, and what it still has under way with it.
 */
import { opposite, type Side } from "../core/side.ts";
import type { ExchangeError } from "../http/exchange_recorder.ts";
import { quoteFound } from "../http/quote.ts";
import { errorCodeName, isBenign } from "./errors.ts";
import { encodeGoawayAgain } from "./frame_writer.ts";
import { type GoawayFrame, MAX_STREAM_ID } from "./frames.ts";
import { readLatin1 } from "../core/latin1.ts";
import { initiatorOf } from "./stream_state.ts";

interface Farewell {
  readonly lastStreamId: number;
  readonly code: string;
  readonly detail: string;
}

/** Debug data may be of any length; this much of it is looked at. */
const DEBUG_BYTES_MAX = 256;

export class Farewells {
  readonly #said: Record<Side, Farewell | null> = { client: null, server: null };
  /** The last stream that the proxy has named in the name of each side. */
  readonly #saidByProxy: Record<Side, number> = { client: MAX_STREAM_ID, server: MAX_STREAM_ID };

  /** Takes a side's GOAWAY, and gives what of it goes on: it never names more than the proxy has named. */
  said(by: Side, frame: GoawayFrame, raw: Uint8Array): Uint8Array {
    const { lastStreamId, errorCode, debugData } = frame;
    const code = errorCodeName(errorCode);
    const debug = readLatin1(debugData, 0, Math.min(debugData.length, DEBUG_BYTES_MAX));
    const detail = `GOAWAY from the ${by}: ${code}${debug === "" ? "" : `: ${quoteFound(debug)}`}`;
    this.#said[by] = { lastStreamId, code, detail };
    const most = this.#saidByProxy[by];
    return lastStreamId <= most ? raw : encodeGoawayAgain(raw, most);
  }

  /** The last stream for a GOAWAY of the proxy's own in the name of a side, of which `highest` has been heard. */
  lastStreamFor(by: Side, highest: number): number {
    const before = Math.min(this.#saidByProxy[by], this.#said[by]?.lastStreamId ?? MAX_STREAM_ID);
    return this.#saidByProxy[by] = Math.min(highest, before);
  }

  /** How a stream ended that its peer said it would not process; null for one that nobody gave up. */
  refusalOf(streamId: number): ExchangeError | null {
    const by = opposite(initiatorOf(streamId));
    const farewell = this.#said[by];
    if (farewell === null || streamId <= farewell.lastStreamId) return null;
    return { by, code: farewell.code, detail: farewell.detail };
  }

  /** What a side that ends the connection has against it; null where it had nothing. */
  complaintOf(side: Side): string | null {
    const farewell = this.#said[side];
    return farewell === null || isBenign(farewell.code) ? null : farewell.detail;
  }
}
