/** Sessions that are broken on purpose, one for each way to be broken: a checker that misses its canary is dead. */
import type { Effects } from "../../src/core/session.ts";
import { ProxySession } from "../../src/proxy/session.ts";
import type { CheckerName } from "../../src/sim/checkers.ts";
import type { MakeSession } from "../../src/sim/world.ts";

export interface Canary {
  readonly breaks: CheckerName | "same_seed_same_log";
  readonly makeSession: MakeSession;
}

let runs = 0;

export const CANARIES: { readonly [habit: string]: Canary } = {
  "swallows a byte on its way to the server": spoiling("bytes_conserved", (effects) => {
    let sends = 0;
    return {
      send: (side, data) =>
        effects.send(side, side === "server" && ++sends === 2 ? data.subarray(0, data.length - 1) : data),
    };
  }),
  "says bytes to the client that nobody said": spoiling("right_answers", (effects) => {
    let sends = 0;
    return {
      send: (side, data) => {
        effects.send(side, data);
        if (side === "client" && ++sends === 2) effects.send("client", new Uint8Array([0x21]));
      },
    };
  }),
  "closes its stream twice": spoiling("one_close", (effects) => ({
    record: (event) => {
      effects.record(event);
      if (event.kind === "stream_closed") effects.record(event);
    },
  })),
  "leaves out the end of exchanges": spoiling("log_verifies", (effects) => ({
    record: (event) => {
      if (event.kind !== "exchange_completed") effects.record(event);
    },
  })),
  "skips a number in its flow": spoiling("sequence_is_contiguous", (effects, context) => ({
    record: (event) => {
      if (event.kind === "connect_decision") context.sequence++;
      effects.record(event);
    },
  })),
  "forgets to close": spoiling("every_flow_ends", () => ({ close() {} })),
  "keeps the old server's connection when it takes another": spoiling(
    "nothing_left",
    () => ({ closeServer() {} }),
  ),
  "dials what policy blocks": spoiling("policy_kept", (effects) => ({
    decide: (id, question) => {
      effects.open(question.authority);
      effects.closeServer();
      return effects.decide(id, question);
    },
  })),
  "writes bodies to the log that nobody sent": spoiling("bodies_observed", (effects) => ({
    record: (event) => {
      const data = event.attributes["data_base64"];
      if (event.kind !== "response_body_chunk" || typeof data !== "string") effects.record(event);
      else {
        effects.record({
          ...event,
          attributes: { ...event.attributes, data_base64: "AAAA" + data.slice(4) },
        });
      }
    },
  })),
  "tells a WebSocket message for another": spoiling("messages_observed", (effects) => ({
    record: (event) => {
      if (event.kind !== "ws_message") effects.record(event);
      else {
        const bytes = Number(event.attributes["bytes"]) + 1;
        effects.record({ ...event, attributes: { ...event.attributes, bytes } });
      }
    },
  })),
  "sends a datagram twice": spoiling("datagrams_conserved", (effects) => {
    let isUdp = false;
    return {
      openDatagrams: (target) => {
        isUdp = true;
        effects.openDatagrams(target);
      },
      send: (side, data) => {
        effects.send(side, data);
        if (isUdp && side === "server") effects.send(side, data);
      },
    };
  }),
  "loses the last frame that the client sends": spoiling("http2_conserved", (effects) => ({
    send: (side, data) => {
      if (side === "client" || !endsInGoaway(data)) effects.send(side, data);
      else if (data.length > 20) effects.send(side, data.subarray(0, data.length - 20));
    },
  })),
  "grants a window of its own": spoiling("http2_conserved", (effects) => ({
    send: (side, data) => effects.send(side, data.length === 13 && data[3] === 8 ? widened(data) : data),
  })),
  "takes windows for larger than they are": spoiling("right_answers", (effects) => ({
    send: (side, data) => effects.send(side, data.length === 13 && data[3] === 8 ? widened(data) : data),
  })),
  "puts a frame between two that nobody sent": spoiling("right_answers", (effects) => ({
    send: (side, data) => {
      effects.send(side, data);
      if (data.length === 13 && data[3] === 8) effects.send(side, RESET_OF_STREAM_1);
    },
  })),
  "loses trailers": spoiling("http2_observed", (effects) => ({
    record: (event) => {
      if (event.protocol !== "http2" || event.kind !== "response_trailers") effects.record(event);
    },
  })),
  "takes one stream for another": spoiling("http2_observed", (effects) => ({
    record: (event) => {
      const streamKey = event.streamKey.replace(/^h2:1$/, "h2:x").replace(/^h2:3$/, "h2:1").replace("x", "3");
      effects.record({ ...event, streamKey });
    },
  })),
  "calls reset streams complete": spoiling("http2_observed", (effects) => ({
    record: (event) => {
      if (event.attributes["outcome"] !== "reset") effects.record(event);
      else effects.record({ ...event, attributes: { ...event.attributes, outcome: "complete" } });
    },
  })),
  "leaks a stream": spoiling("http2_observed", (effects) => {
    let isLeaked = false;
    return {
      record: (event) => {
        const leaks = !isLeaked && event.protocol === "http2" && event.kind === "exchange_completed";
        if (leaks) isLeaked = true;
        else effects.record(event);
      },
    };
  }),
  "throws": spoiling("no_bugs", () => ({
    secureClient() {
      throw new Error("a canary");
    },
  })),
  "goes on after it has closed": spoiling("no_bugs", (effects) => ({
    close() {
      effects.close();
      effects.disarm("idle");
    },
  })),
  "depends on what was before": spoiling("same_seed_same_log", (effects) => ({
    record: (event) => effects.record({ ...event, attributes: { ...event.attributes, zz_run: runs++ } }),
  })),
};

/** GOAWAY as the simulated peers say it, `sim` behind its code. */
function endsInGoaway(data: Uint8Array): boolean {
  return data.length >= 20 && data[data.length - 17] === 7 && data.at(-1) === 0x6d && data.at(-2) === 0x69;
}

/** RST_STREAM with PROTOCOL_ERROR. */
const RESET_OF_STREAM_1 = Uint8Array.of(0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 1);

/** A WINDOW_UPDATE of so much that the next content is too much. */
function widened(data: Uint8Array): Uint8Array {
  const frame = data.slice();
  frame[10] = 9;
  return frame;
}

function spoiling(
  breaks: Canary["breaks"],
  spoil: (effects: Effects, context: Parameters<MakeSession>[0]) => Partial<Effects>,
): Canary {
  return {
    breaks,
    makeSession(context, effects, config, options) {
      const spoilt = spoil(effects, context);
      const mixed = new Proxy(effects, {
        get(target, name) {
          const member = (Reflect.get(spoilt, name) ?? Reflect.get(target, name)) as unknown;
          return member;
        },
      });
      return new ProxySession(context, mixed, config, options);
    },
  };
}
