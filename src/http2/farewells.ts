/**
 * What GOAWAY says (RFC 9113 §6.8): which streams a side will not process, so that nobody resets them any
 * more, and why it goes. Each side's last one counts.
 */
import { opposite, type Side } from "../core/side.ts";
import type { ExchangeError } from "../http/exchange_recorder.ts";
import { quoteFound } from "../http/quote.ts";
import { errorCodeName, isBenign } from "./errors.ts";
import type { GoawayFrame } from "./frames.ts";
import { readLatin1 } from "./latin1.ts";
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

  said(by: Side, { lastStreamId, errorCode, debugData }: GoawayFrame): void {
    const code = errorCodeName(errorCode);
    const debug = readLatin1(debugData, 0, Math.min(debugData.length, DEBUG_BYTES_MAX));
    const detail = `GOAWAY from the ${by}: ${code}${debug === "" ? "" : `: ${quoteFound(debug)}`}`;
    this.#said[by] = { lastStreamId, code, detail };
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
