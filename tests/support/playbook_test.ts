import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import type { Instant } from "../../src/core/instant.ts";
import type { Effects, Session, Timer } from "../../src/core/session.ts";
import {
  closes,
  decide,
  end,
  open,
  perform,
  type Play,
  PlaybookError,
  record,
  reset,
  send,
} from "./playbook.ts";

/** A session that says back what comes in, and does what the bytes say. */
function parrot(effects: Effects): Session {
  const said = (text: string) => effects.send("client", new TextEncoder().encode(text));
  return {
    heldBytes: 0,
    unfinishedBytes: 0,
    begin: (now) => effects.arm("idle", now + 5_000_000),
    received(side, data) {
      const text = new TextDecoder().decode(data);
      if (text === "close") {
        effects.record({
          kind: "stream_closed",
          protocol: "connect",
          streamKey: "flow",
          attributes: { reason_code: "complete" },
        });
        effects.close();
      } else if (text === "ask") {
        const authority = { host: "a.test", port: 1 };
        effects.decide(7, {
          flowId: "",
          clientAddr: "",
          authority,
          method: "CONNECT",
          path: null,
          sni: null,
        });
      } else if (text === "open") effects.open({ host: "::1", port: 1 });
      else if (text === "pause") effects.pause(side);
      else said(text);
    },
    ended: (side) => effects.end(side),
    failed: (side) => effects.reset(side),
    opened() {},
    openFailed() {},
    secured() {},
    secureFailed() {},
    decided: (id, { action }) => said(`${id} ${action}`),
    expired: (timer: Timer, now: Instant) => said(`${timer} at ${now}`),
    drain() {},
    abort() {},
    crashed() {},
  };
}

function refused(script: (play: (make: (effects: Effects) => Session) => Play) => void): string {
  return assertThrows(() => perform(script), PlaybookError).message;
}

Deno.test("perform passes what fits, step by step", () => {
  perform((play) => {
    const told = play(parrot)
      .receives("client", "hello")
      .expects(send("client", "hello"))
      .receives("server", "open")
      .expects(open("[::1]:1"))
      .ends("client")
      .fails("server")
      .expects(end("client"), reset("server"))
      .receives("client", "ask")
      .expects(decide("a.test:1", { method: "CONNECT" }))
      .decides("block")
      .expects(send("client", /^7 block$/))
      .receives("client", "close")
      .expects(closes("complete"));
    assertEquals(told.closed, true);
  });
});

Deno.test("expects shows with arrows what was expected and what was found", () => {
  const message = refused((play) => {
    play(parrot).receives("client", "one").receives("client", "two").receives("client", "three")
      .expects(send("client", "one"), end("server"));
  });
  assertStringIncludes(
    message,
    '    send client "one"\n -> end server\n <- send client "two"\n <- send client "three"',
  );
});

Deno.test("expects takes neither too few effects nor too many, nor other attributes", () => {
  const fails = [
    (play: Play) => play.receives("client", "a").expects(),
    (play: Play) => play.expects(send("client", "a")),
    (play: Play) => play.receives("client", "a").expects(send("server", "a")),
    (play: Play) => play.receives("client", "ask").expects(decide("a.test:1", { sni: "b.test" })),
    (play: Play) => play.receives("client", "close").expects(closes("shutdown")),
    (play: Play) => play.receives("client", "close").expects(record("stream_closed")),
  ];
  for (const fail of fails) refused((play) => fail(play(parrot)));
});

Deno.test("an unfinished playbook fails, and so does one in which nothing was played", () => {
  assertStringIncludes(refused((play) => play(parrot).receives("client", "a")), '<- send client "a"');
  assertStringIncludes(refused(() => {}), "Nothing was played");
});

Deno.test("at moves the clock and fires what is due, each timer at its own time", () => {
  perform((play) => {
    play(parrot)
      .expectsTimers("idle")
      .at(4.999)
      .expects()
      .at(5)
      .expects(send("client", "idle at 5000000"))
      .expectsTimers();
  });
  assertStringIncludes(refused((play) => play(parrot).at(3).at(2)), "Time cannot go back");
  refused((play) => play(parrot).expectsTimers("connect"));
});

Deno.test("expectsPaused tells which sides are not to be read", () => {
  perform((play) => {
    play(parrot).expectsPaused().receives("client", "pause").expectsPaused("client");
  });
  refused((play) => play(parrot).expectsPaused("server"));
});

Deno.test("a session that was given a closed flow's input, or acts after close, fails", () => {
  refused((play) =>
    play(parrot).receives("client", "close").expects(closes("complete")).receives("client", "x")
  );
  refused((play) =>
    play((effects) => ({ ...parrot(effects), received: () => (effects.close(), effects.close()) })).receives(
      "client",
      "x",
    )
  );
});

Deno.test("decides needs an open question", () => {
  assertStringIncludes(refused((play) => play(parrot).decides("block")), "Nothing was asked");
});

Deno.test("what was received is overwritten after the call", () => {
  let kept = new Uint8Array(0);
  perform((play) => {
    play((effects) => ({
      ...parrot(effects),
      received: (_side, data) => kept = data as Uint8Array<ArrayBuffer>,
    }))
      .receives("client", "abc");
  });
  assertEquals([...kept], [0xee, 0xee, 0xee]);
});
