/** A relay between two sides that a test speaks for, with a clock that it moves, and what each side is told. */
import { assert } from "@std/assert";
import type { FlowEvent } from "../../src/core/event.ts";
import { NANOSECONDS_PER_MILLISECOND } from "../../src/core/instant.ts";
import type { Timer } from "../../src/core/session.ts";
import { opposite, type Side } from "../../src/core/side.ts";
import { NO_OBSERVATION } from "../../src/http/observation.ts";
import { encodeSettings, encodeSettingsAck } from "../../src/http2/frame_writer.ts";
import { CLIENT_PREFACE } from "../../src/http2/frames.ts";
import type { Http2Limits } from "../../src/http2/limits.ts";
import { Http2Relay } from "../../src/http2/relay.ts";
import type { Setting } from "../../src/http2/settings.ts";
import { Http2Ear } from "../support/http2_ear.ts";
import { join } from "./frame_builder.ts";
import { LIMITS } from "./limits.ts";

export const text = (value: string) => new TextEncoder().encode(value);

export interface WorldOptions {
  readonly limits?: Partial<Http2Limits>;
  readonly clientSettings?: readonly Setting[];
  readonly serverSettings?: readonly Setting[];
  readonly stripsAltSvc?: boolean;
  readonly strictHeaders?: boolean;
}

export class RelayWorld {
  readonly events: (Record<string, unknown> & { kind: string; streamKey: string })[] = [];
  finished: { readonly reason: string; readonly detail: string | undefined } | null = null;
  heldBytesMax = 0;
  readonly #relay: Http2Relay;
  readonly #timers = new Map<Timer, number>();
  readonly #sent: Record<Side, Uint8Array[]> = { client: [], server: [] };
  #now = 0;

  /** Both sides have said their SETTINGS and acknowledged the other's. */
  constructor(options: WorldOptions = {}) {
    this.#relay = new Http2Relay({
      host: {
        send: (side, data) => {
          assert(this.finished === null, "nothing is sent after the end");
          this.#sent[side].push(data.slice());
        },
        reset: () => {},
        pause: () => {},
        resume: () => {},
        arm: (timer, at) => this.#timers.set(timer, at),
        disarm: (timer) => this.#timers.delete(timer),
        record: ({ kind, streamKey, attributes }: FlowEvent) =>
          this.events.push({ kind, streamKey, ...attributes }),
        finish: (reason, detail) => {
          assert(this.finished === null, "a flow ends once");
          this.finished = { reason, detail };
        },
      },
      limits: { ...LIMITS, ...options.limits },
      capture: { bodyBytes: 64, redactHeaders: new Set() },
      observation: NO_OBSERVATION,
      scheme: "https",
      authority: "a.test",
      gate: { ask: () => ({ type: "observe" }) },
      firstExchangeId: 1,
      stripsAltSvc: options.stripsAltSvc ?? false,
      strictHeaders: options.strictHeaders ?? true,
    }, 0);
    this.client(CLIENT_PREFACE, encodeSettings(options.clientSettings ?? []));
    this.server(encodeSettings(options.serverSettings ?? []), encodeSettingsAck());
    this.client(encodeSettingsAck());
    this.#sent.client = [];
    this.#sent.server = [];
  }

  client(...frames: readonly Uint8Array[]): this {
    return this.#received("client", join(...frames));
  }

  server(...frames: readonly Uint8Array[]): this {
    return this.#received("server", join(...frames));
  }

  by(side: Side, ...frames: readonly Uint8Array[]): this {
    return this.#received(side, join(...frames));
  }

  ended(side: Side): this {
    this.#relay.ended(side, this.#now);
    return this;
  }

  drain(): this {
    this.#relay.drain(this.#now);
    return this;
  }

  /** Moves the clock, and lets the timers that are due on the way expire. */
  at(milliseconds: number): this {
    const target = milliseconds * NANOSECONDS_PER_MILLISECOND;
    while (this.finished === null) {
      const [timer, due] = [...this.#timers].reduce(
        (first, entry) => entry[1] < first[1] ? entry : first,
        ["idle", Infinity] as [Timer, number],
      );
      if (due > target) break;
      this.#timers.delete(timer);
      this.#now = Math.max(this.#now, due);
      this.#relay.expired(timer, this.#now);
    }
    this.#now = target;
    return this;
  }

  /** What a side was told: each frame in a few words, as it understands it with a decoder of its own. */
  told(side: Side): string[] {
    const by = opposite(side);
    const ear = new Http2Ear(by);
    const said: string[] = [];
    ear.hear(join(by === "client" ? CLIENT_PREFACE : text(""), encodeSettings([])), () => {});
    ear.hear(join(...this.#sent[side]), (heard) => said.push(heard.said));
    return said;
  }

  /** The bytes a side was sent since both had said their SETTINGS. */
  sent(side: Side): Uint8Array {
    return join(...this.#sent[side]);
  }

  outcomes(): unknown[] {
    return this.events.filter(({ kind }) => kind === "exchange_completed").map((
      { streamKey, outcome, error_code },
    ) => [streamKey, outcome, ...error_code === undefined ? [] : [error_code]]);
  }

  #received(side: Side, data: Uint8Array): this {
    if (this.finished !== null) return this;
    const copy = data.slice();
    this.#relay.received(side, copy, this.#now);
    // The read's memory is used again, as a driver does.
    copy.fill(0xee);
    this.heldBytesMax = Math.max(this.heldBytesMax, this.#relay.heldBytes);
    return this;
  }
}
