/**
 * The event log of a running proxy: gives each event its place in order and time, and takes it to the sinks
 * and to the program's own consumers.
 *
 * `record` is synchronous and on the hot path. What it queues is bounded by its callers: while `full` they
 * stop reading their peers, and `onReady` tells them when to go on. Nothing is dropped unless a sink failed.
 *
 * Each sink is a log of its own: `sequence_id` goes on from what that file held. Flow ids and time are the
 * same in all of them: they go on from whichever log is furthest.
 */
import type { FlowContext, FlowEvent, LoggedEvent } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import { encodeEventTail, encodeHeader, LINE_START, LOG_SCHEMA } from "../log/encode.ts";
import { indexRowStart } from "../log/index_row.ts";
import { instantAfter } from "../log/position.ts";
import { type Consumer, Subscription } from "./sinks/subscription.ts";
import { openSink } from "./sinks/open_sink.ts";
import type { Sink } from "./sinks/sink.ts";
import { SinkQueue } from "./sinks/sink_queue.ts";
import { StartError } from "./start_error.ts";

export type { Consumer } from "./sinks/subscription.ts";

export interface EventLogOptions {
  readonly sinks: readonly string[];
  /** 0: never. */
  readonly rotateBytes: number;
  readonly sync: "flush" | "fsync";
  readonly onSinkFailure: "stop" | "continue";
  readonly header: {
    readonly version: string;
    readonly configDigest: string;
    /** ISO 8601. */
    readonly openedAt: string;
  };
  /** Called once for each sink or consumer that fails for good; `fatal` when the proxy has to end. */
  onFailure(message: string, fatal: boolean): void;
  /** How long `close` waits for a sink or consumer that takes nothing. */
  readonly closeTimeoutMs?: number;
  readonly limits?: EventLogLimits;
}

/** At `highWater` the log is full, below `lowWater` it is ready again; counted for each sink by itself. */
export interface EventLogLimits {
  readonly highWaterBytes: number;
  readonly lowWaterBytes: number;
  /** For a consumer that returns promises. */
  readonly highWaterEvents: number;
  readonly lowWaterEvents: number;
}

/** A few milliseconds of a busy proxy; a page cache that stalls for longer is felt by the peers, as it should. */
export const DEFAULT_LOG_LIMITS: EventLogLimits = {
  highWaterBytes: 4 << 20,
  lowWaterBytes: 1 << 20,
  highWaterEvents: 512,
  lowWaterEvents: 128,
};

const CLOSE_TIMEOUT_MS = 5000;

export interface EventLogCounters {
  readonly events: number;
  /** Written to all sinks together. */
  readonly bytes: number;
  /** Lines that a failed sink did not take, and events after `close`. */
  readonly dropped: number;
  readonly sinkFailures: number;
}

export class EventLog {
  /** Called each time the log has been `full` and has room again. */
  onReady: (() => void) | null = null;
  /** Put before the number of each flow: `2-17` is the 17th flow of the log's second opening. */
  readonly flowIdPrefix: string;
  /** What a person should know about the opening: a torn line set aside, a log others can read. */
  readonly notices: readonly string[];

  #queues: readonly SinkQueue[];
  readonly #allQueues: readonly SinkQueue[];
  #subscriptions: readonly Subscription[] = [];
  readonly #options: EventLogOptions;
  readonly #limits: EventLogLimits;
  readonly #timeBase: number;
  readonly #sequenceOffset: number;
  #sequence = 0;
  #lastTime: number;
  #full = false;
  #dropped = 0;
  #sinkFailures = 0;
  #started = false;
  #startFailure: string | null = null;
  #closing: Promise<void> | null = null;

  private constructor(sinks: readonly Sink[], options: EventLogOptions) {
    this.#options = options;
    this.#limits = options.limits ?? DEFAULT_LOG_LIMITS;
    const opening = Math.max(0, ...sinks.map(({ position }) => position.opening)) + 1;
    this.#timeBase = Math.max(0, ...sinks.map(({ position }) => position.timeNs));
    this.#lastTime = this.#timeBase;
    this.#sequenceOffset = sinks[0]?.position.sequenceId ?? 0;
    this.flowIdPrefix = `${opening}-`;
    this.notices = sinks.flatMap(({ notices }) => notices);
    this.#allQueues = this.#queues = sinks.map((sink) => {
      const queue = new SinkQueue(sink, sink.position.sequenceId, {
        progressed: () => this.#checkReady(),
        failed: (message, linesLost) => this.#sinkFailed(queue, message, linesLost),
      });
      const header = encodeHeader({
        ...options.header,
        opening,
        continuesSequenceId: sink.position.sequenceId,
        continuesTimeNs: this.#timeBase,
      });
      queue.push(header, "");
      return queue;
    });
  }

  /** Throws a `StartError` naming the sink and the mend; then no sink is left open. */
  static async open(options: EventLogOptions): Promise<EventLog> {
    const sinks: Sink[] = [];
    try {
      for (const [index, name] of options.sinks.entries()) {
        if (options.sinks.indexOf(name) !== index) {
          throw new StartError("event_sink_init_failed", `event sink ${name} is given twice; name it once`);
        }
        sinks.push(await openSink(name, { rotateBytes: options.rotateBytes, sync: options.sync }));
      }
    } catch (fault) {
      await Promise.all(sinks.map((sink) => sink.close()));
      throw fault;
    }
    return await EventLog.over(sinks, options);
  }

  /** A log over sinks that are open already; it closes them. */
  static async over(sinks: readonly Sink[], options: EventLogOptions): Promise<EventLog> {
    // A sink that cannot take the first line has not been opened, whatever the platform said.
    const log = new EventLog(sinks, options);
    await log.flush();
    log.#started = true;
    if (log.#startFailure === null) return log;
    await log.close();
    throw new StartError("event_sink_init_failed", log.#startFailure);
  }

  /** Whether peers should not be read for now. */
  get full(): boolean {
    return this.#full;
  }

  get counters(): EventLogCounters {
    return {
      events: this.#sequence,
      bytes: this.#allQueues.reduce((sum, queue) => sum + queue.bytesWritten, 0),
      dropped: this.#dropped,
      sinkFailures: this.#sinkFailures,
    };
  }

  record(context: FlowContext, event: FlowEvent, now: Instant): void {
    if (this.#closing !== null) {
      this.#dropped++;
      return;
    }
    const sequence = this.#sequence + 1;
    const flowSequence = context.sequence + 1;
    let time = this.#timeBase + now;
    if (time <= this.#lastTime) time = instantAfter(this.#lastTime);

    const queues = this.#queues;
    if (queues.length > 0) {
      // Encoded before anything is counted: attributes that cannot be encoded leave no gap.
      const tail = encodeEventTail(flowSequence, time, context, event);
      for (let index = 0; index < queues.length; index++) {
        const queue = queues[index]!;
        const sequenceId = sequence + queue.sequenceOffset;
        const row = queue.sink.indexed ? indexRowStart(sequenceId, flowSequence, context, event) : "";
        queue.push(LINE_START + sequenceId + tail, row);
        if (queue.queuedBytes >= this.#limits.highWaterBytes) this.#full = true;
      }
    }
    this.#dropped += this.#allQueues.length - queues.length;
    this.#sequence = sequence;
    this.#lastTime = time;
    context.sequence = flowSequence;
    if (this.#subscriptions.length > 0) this.#deliver(context, event, sequence, time);
  }

  /**
   * Events are given in order, each as it is recorded. A consumer that returns a promise gets the next one
   * when that promise has settled, and the peers wait for it; one that throws is reported and detached.
   * The result detaches it.
   */
  subscribe(consumer: Consumer): () => void {
    const detach = () => {
      this.#subscriptions = this.#subscriptions.filter((other) => other !== subscription);
      subscription.detach();
      this.#checkReady();
    };
    const subscription = new Subscription(consumer, {
      progressed: () => this.#checkReady(),
      failed: (fault) => {
        detach();
        const text = fault instanceof Error ? fault.message : String(fault);
        this.#options.onFailure(`an event consumer threw and gets no more events: ${text}`, false);
      },
    });
    this.#subscriptions = [...this.#subscriptions, subscription];
    return detach;
  }

  /** Resolves when all that was recorded before is in the sinks and consumed, or they have failed. */
  async flush(): Promise<void> {
    await Promise.all([
      ...this.#queues.map((queue) => queue.flush()),
      ...this.#subscriptions.map((subscription) => subscription.flush()),
    ]);
  }

  /** Flushes, syncs and closes; a sink that takes nothing for `closeTimeoutMs` is given up and reported. */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    const limitMs = this.#options.closeTimeoutMs ?? CLOSE_TIMEOUT_MS;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const expired = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        for (const queue of this.#queues) {
          if (queue.queuedBytes === 0) continue;
          queue.fail(`event sink ${queue.sink.name} failed: it took nothing for ${limitMs} ms while closing`);
        }
        for (const { waiting } of this.#subscriptions) {
          if (waiting === 0) continue;
          this.#options.onFailure(
            `an event consumer did not take its last ${waiting} events within ${limitMs} ms while closing`,
            false,
          );
        }
        resolve();
      }, limitMs);
    });
    await Promise.race([this.flush(), expired]);
    clearTimeout(timer);
    for (const subscription of this.#subscriptions) subscription.detach();
    this.#subscriptions = [];
    await Promise.all(this.#allQueues.map((queue) => queue.close()));
    this.#checkReady();
  }

  #deliver(context: FlowContext, event: FlowEvent, sequence: number, time: number): void {
    const logged: LoggedEvent = {
      schema: LOG_SCHEMA,
      sequence_id: sequence + this.#sequenceOffset,
      flow_id: context.flowId,
      flow_sequence_id: context.sequence,
      time_ns: time,
      kind: event.kind,
      protocol: event.protocol,
      stream_key: event.streamKey,
      client_addr: context.clientAddr,
      server_host: context.serverHost,
      server_port: context.serverPort,
      attributes: event.attributes,
    };
    for (const subscription of this.#subscriptions) {
      subscription.deliver(logged);
      if (subscription.waiting >= this.#limits.highWaterEvents) this.#full = true;
    }
  }

  #sinkFailed(queue: SinkQueue, message: string, linesLost: number): void {
    this.#queues = this.#queues.filter((other) => other !== queue);
    this.#sinkFailures++;
    if (!this.#started) {
      this.#startFailure ??= message;
      return;
    }
    this.#dropped += linesLost;
    const fatal = this.#options.onSinkFailure === "stop";
    const lost = linesLost === 1 ? "1 event is lost" : `${linesLost} events are lost`;
    this.#options.onFailure(
      `${message}; ${lost}; ${fatal ? "the proxy stops" : "the proxy goes on without this sink"}` +
        " (events.on_sink_failure)",
      fatal,
    );
  }

  #checkReady(): void {
    if (!this.#full) return;
    const { lowWaterBytes, lowWaterEvents } = this.#limits;
    if (this.#queues.some((queue) => queue.queuedBytes > lowWaterBytes)) return;
    if (this.#subscriptions.some((subscription) => subscription.waiting > lowWaterEvents)) return;
    this.#full = false;
    this.onReady?.();
  }
}
