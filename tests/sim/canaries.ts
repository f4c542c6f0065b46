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
