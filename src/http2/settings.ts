/**
 * SETTINGS (RFC 9113 §6.5) as far as the proxy must know them: which values are valid, and what is
 * in force between two sides of which neither is us.
 */
import type { Side } from "../core/side.ts";
import { type Http2Error, http2Error } from "./errors.ts";

export const SETTINGS = {
  header_table_size: 0x1,
  enable_push: 0x2,
  max_concurrent_streams: 0x3,
  initial_window_size: 0x4,
  max_frame_size: 0x5,
  max_header_list_size: 0x6,
  /** RFC 8441 §3. */
  enable_connect_protocol: 0x8,
  /** RFC 9218 §2.1. */
  no_rfc7540_priorities: 0x9,
} as const;

/** In the order they came, those with unknown identifiers included. */
export type Setting = readonly [identifier: number, value: number];

/** SETTINGS_MAX_FRAME_SIZE, which has no meaning below this (§6.5.2). */
export const MIN_MAX_FRAME_SIZE = 16_384;
export const MAX_MAX_FRAME_SIZE = 0xff_ffff;
export const MAX_WINDOW_SIZE = 0x7fff_ffff;

/** §6.5.2, RFC 8441 §3, RFC 9218 §2.1; unknown settings may have any value. */
export function checkSetting(identifier: number, value: number, by: Side, offset: number): Http2Error | null {
  const refuse = (name: string, allowed: string) =>
    http2Error("invalid_setting", by, 0, `SETTINGS_${name} is ${value}; it must be ${allowed}`, offset);
  switch (identifier) {
    case SETTINGS.enable_push:
      if (by === "server") return value === 0 ? null : refuse("ENABLE_PUSH", "0 when a server sends it");
      return value <= 1 ? null : refuse("ENABLE_PUSH", "0 or 1");
    case SETTINGS.initial_window_size:
      if (value <= MAX_WINDOW_SIZE) return null;
      return http2Error(
        "invalid_initial_window_size",
        by,
        0,
        `SETTINGS_INITIAL_WINDOW_SIZE is ${value}; it must be at most ${MAX_WINDOW_SIZE}`,
        offset,
      );
    case SETTINGS.max_frame_size:
      if (value >= MIN_MAX_FRAME_SIZE && value <= MAX_MAX_FRAME_SIZE) return null;
      return refuse("MAX_FRAME_SIZE", `from ${MIN_MAX_FRAME_SIZE} to ${MAX_MAX_FRAME_SIZE}`);
    case SETTINGS.enable_connect_protocol:
      return value <= 1 ? null : refuse("ENABLE_CONNECT_PROTOCOL", "0 or 1");
    case SETTINGS.no_rfc7540_priorities:
      return value <= 1 ? null : refuse("NO_RFC7540_PRIORITIES", "0 or 1");
    default:
      return null;
  }
}

/** The values that matter to someone between the two, in force from the acknowledgement on. */
export interface SettingsInForce {
  readonly headerTableSize: number;
  readonly enablePush: boolean;
  /** Infinity until a value is set. */
  readonly maxConcurrentStreams: number;
  readonly initialWindowSize: number;
  readonly maxFrameSize: number;
  /** Infinity until a value is set. */
  readonly maxHeaderListSize: number;
  readonly enableConnectProtocol: boolean;
}

export const INITIAL_SETTINGS: SettingsInForce = {
  headerTableSize: 4096,
  enablePush: true,
  maxConcurrentStreams: Infinity,
  initialWindowSize: 65_535,
  maxFrameSize: MIN_MAX_FRAME_SIZE,
  maxHeaderListSize: Infinity,
  enableConnectProtocol: false,
};

/** What an acknowledgement puts in force. */
export interface AcknowledgedSettings {
  readonly type: "acknowledged";
  /**
   * Values of SETTINGS_HEADER_TABLE_SIZE, in order, for the decoder of the side that acknowledged:
   * where one frame has several, the smallest comes before the last, since both bind the encoder.
   */
  readonly headerTableSizes: readonly number[];
}

interface SentSettings {
  readonly values: SettingsInForce;
  readonly headerTableSizes: readonly number[];
}

/**
 * The settings of one side, which bind the other. They are in force once the other has acknowledged
 * them (§6.5.3), and acknowledgements come in the order of the frames. What is kept of a frame does
 * not grow with the number of settings in it.
 */
export class SettingsTracker {
  #inForce = INITIAL_SETTINGS;
  #unacknowledged: SentSettings[] = [];

  /** `by` is the side whose settings these are; it may leave so many frames unacknowledged. */
  constructor(private readonly by: Side, private readonly maxUnacknowledged: number) {}

  get inForce(): SettingsInForce {
    return this.#inForce;
  }

  get unacknowledged(): number {
    return this.#unacknowledged.length;
  }

  /**
   * The largest frame that the other side may send now. A larger size counts from when it was
   * sent, a smaller one from its acknowledgement: nothing says that the peer acknowledges before
   * its next frame.
   */
  get maxFrameSize(): number {
    return this.#unacknowledged.reduce(
      (size, { values }) => Math.max(size, values.maxFrameSize),
      this.#inForce.maxFrameSize,
    );
  }

  /** As this side sent them last, acknowledged or not: what it must be ready for. */
  get latest(): SettingsInForce {
    return this.#unacknowledged.at(-1)?.values ?? this.#inForce;
  }

  /**
   * The window of a new stream that the proxy may count on when it answers this side itself: what was
   * sent may be in force for it already, or not yet.
   */
  get smallestInitialWindowSize(): number {
    return this.#unacknowledged.reduce(
      (size, { values }) => Math.min(size, values.initialWindowSize),
      this.#inForce.initialWindowSize,
    );
  }

  /** This side sent SETTINGS. */
  sent(settings: readonly Setting[]): Http2Error | null {
    if (this.#unacknowledged.length >= this.maxUnacknowledged) {
      return http2Error(
        "too_many_unacknowledged_settings",
        this.by,
        0,
        `more than ${this.maxUnacknowledged} SETTINGS frames wait for their acknowledgement ` +
          `(http.http2_max_settings)`,
      );
    }
    const before = this.#unacknowledged.at(-1)?.values ?? this.#inForce;
    let values = before;
    let smallestTable = Infinity;
    for (const setting of settings) {
      values = withSetting(values, setting);
      if (setting[0] === SETTINGS.header_table_size) smallestTable = Math.min(smallestTable, setting[1]);
    }
    const last = values.headerTableSize;
    const headerTableSizes = smallestTable === Infinity
      ? []
      : smallestTable < last
      ? [smallestTable, last]
      : [last];
    this.#unacknowledged.push({ values, headerTableSizes });
    return null;
  }

  /** The other side acknowledged the oldest SETTINGS. Null where there is none: that changes nothing. */
  acknowledged(): AcknowledgedSettings | null {
    const oldest = this.#unacknowledged.shift();
    if (oldest === undefined) return null;
    this.#inForce = oldest.values;
    return { type: "acknowledged", headerTableSizes: oldest.headerTableSizes };
  }
}

function withSetting(values: SettingsInForce, [identifier, value]: Setting): SettingsInForce {
  switch (identifier) {
    case SETTINGS.header_table_size:
      return { ...values, headerTableSize: value };
    case SETTINGS.enable_push:
      return { ...values, enablePush: value === 1 };
    case SETTINGS.max_concurrent_streams:
      return { ...values, maxConcurrentStreams: value };
    case SETTINGS.initial_window_size:
      return { ...values, initialWindowSize: value };
    case SETTINGS.max_frame_size:
      return { ...values, maxFrameSize: value };
    case SETTINGS.max_header_list_size:
      return { ...values, maxHeaderListSize: value };
    case SETTINGS.enable_connect_protocol:
      return { ...values, enableConnectProtocol: value === 1 };
    default:
      return values;
  }
}
