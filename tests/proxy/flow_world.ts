/** A flow without a session: what it and its phases say, one line each, in order. */
import type { Effects } from "../../src/core/session.ts";
import type { DatagramCounts } from "../../src/proxy/datagram_relay.ts";
import { Flow } from "../../src/proxy/flow.ts";
import { newFlowContext, type Overrides, sessionConfigWith } from "../support/proxy_session.ts";

export class FlowWorld {
  readonly said: string[] = [];
  readonly flow: Flow;
  readonly context = newFlowContext();

  constructor(overrides: Overrides = {}, datagrams: DatagramCounts | null = null) {
    const say = (...words: readonly (string | number)[]) => void this.said.push(words.join(" "));
    const text = (data: Uint8Array) => new TextDecoder().decode(data).split("\r\n", 1)[0]!;
    const effects: Effects = {
      open: ({ host, port }) => say("open", host, port),
      openDatagrams: ({ host, port }) => say("openDatagrams", host, port),
      closeServer: () => say("closeServer"),
      secureServer: ({ host }) => say("secureServer", host),
      secureClient: ({ host }) => say("secureClient", host),
      send: (side, data) => say("send", side, text(data)),
      admits: () => true,
      end: (side) => say("end", side),
      reset: (side) => say("reset", side),
      pause: (side) => say("pause", side),
      resume: (side) => say("resume", side),
      decide: () => null,
      arm: (timer, at) => say("arm", timer, at),
      disarm: (timer) => say("disarm", timer),
      record: ({ kind, protocol, attributes }) =>
        say(kind, protocol, ...kind === "stream_closed" ? [JSON.stringify(attributes)] : []),
      close: () => say("close"),
      countTlsFailure: () => ({ reason: 1, total: 1 }),
      learn: () => null,
      learned: () => null,
    };
    this.flow = new Flow(this.context, effects, sessionConfigWith(overrides), {
      closing: (reason) => {
        say("closing", reason);
        return datagrams;
      },
      closed: () => say("closed"),
    });
  }

  /** What was said since the last call. */
  heard(): string[] {
    return this.said.splice(0);
  }
}
