import { assert, assertEquals } from "@std/assert";
import type { FlowContext, FlowEvent } from "../../src/core/event.ts";
import type { Effects, Session } from "../../src/core/session.ts";
import type { Side } from "../../src/core/side.ts";
import { InFlightBudget } from "../../src/runtime/budget.ts";
import { type Conn, type ConnHandler, IGNORE_EVENTS } from "../../src/runtime/conn.ts";
import { Deadlines } from "../../src/runtime/deadlines.ts";
import { FlowDriver, type World } from "../../src/runtime/flow_driver.ts";
import { PIECE_BYTES_MIN } from "../../src/runtime/read_pieces.ts";

/** A connection that does only what the test says. */
class FakeConn implements Conn {
  handler: ConnHandler = IGNORE_EVENTS;
  pendingBytes = 0;
  congested = false;
  reading = true;
  calls: string[] = [];
  write(data: Uint8Array) {
    this.pendingBytes += data.length;
    this.calls.push(`write ${data.length}`);
  }
  end() {
    this.calls.push("end");
  }
  reset() {
    this.calls.push("reset");
    this.handler.onClosed();
  }
  destroy() {
    this.calls.push("destroy");
    this.handler.onClosed();
  }
  setReading(reading: boolean) {
    this.reading = reading;
  }
}

/** A session that relays, and does what a test tells it. */
class RelaySession implements Session {
  heldBytes = 0;
  unfinishedBytes = 0;
  onReceived: (side: Side, data: Uint8Array) => void = () => {};
  constructor(readonly effects: Effects) {}
  begin() {
    this.effects.open({ host: "server.test", port: 1 });
  }
  received(side: Side, data: Uint8Array) {
    this.onReceived(side, data);
    this.effects.send(side === "client" ? "server" : "client", data);
  }
  onEnded: (side: Side) => void = () => {};
  ended(side: Side) {
    this.onEnded(side);
  }
  failed() {}
  opened() {}
  openFailed() {}
  secured() {}
  secureFailed() {}
  decided() {}
  expired() {}
  drain() {}
  abort() {
    this.effects.close();
  }
  crashed() {
    this.effects.close();
  }
}

const REQUEST: FlowEvent = {
  kind: "request_headers",
  protocol: "http1",
  streamKey: "h1:1",
  attributes: {},
};
const LINE: FlowEvent = { ...REQUEST, kind: "ndjson_line" };

function flow(options: { flowBufferBytes?: number; budgetBytes?: number; budget?: InFlightBudget } = {}) {
  const client = new FakeConn();
  const server = new FakeConn();
  const state = { logFull: false, wakes: [] as (() => void)[], bugs: [] as unknown[], gone: 0, closed: 0 };
  const world: World = {
    now: () => 0,
    deadlines: new Deadlines(() => 0, { set: () => () => {} }),
    budget: options.budget ?? new InFlightBudget(options.budgetBytes ?? 1_000_000),
    flowBufferBytes: options.flowBufferBytes ?? 1_000_000,
    decide: () => ({ action: "tunnel", reason: "default", ruleId: null }),
    dial: (_target, callbacks) => {
      callbacks.opened(server);
      return () => {};
    },
    dialDatagrams: () => () => {},
    secureServer: () => () => {},
    secureClient: () => () => {},
    record: (_context: FlowContext, _event: FlowEvent) => {},
    logFull: (wake) => {
      if (state.logFull) state.wakes.push(wake);
      return state.logFull;
    },
    countTlsFailure: () => ({ reason: 1, total: 1 }),
    learn: () => null,
    learned: () => null,
    sessionClosed: () => state.closed++,
    flowGone: () => state.gone++,
    bug: (error) => state.bugs.push(error),
  };
  const context: FlowContext = {
    flowId: "1-1",
    clientAddr: "",
    serverHost: null,
    serverPort: 0,
    sequence: 0,
  };
  let session!: RelaySession;
  const driver = new FlowDriver(world, context, client, (effects) => session = new RelaySession(effects));
  driver.begin();
  return { client, server, state, world, driver, session };
}

Deno.test("FlowDriver reads on with limits.flow_buffer_bytes pending, and stops with one byte more", () => {
  const { client, server } = flow({ flowBufferBytes: 100 });
  client.handler.onData(new Uint8Array(100));
  assertEquals([client.reading, server.reading], [true, true]);
  client.handler.onData(new Uint8Array(1));
  assertEquals([client.reading, server.reading], [false, false]);
  server.pendingBytes = 0;
  server.handler.onDrain();
  assertEquals([client.reading, server.reading], [true, true]);
});

Deno.test("FlowDriver admits datagrams within half of limits.flow_buffer_bytes and the budget of the process", () => {
  const { server, driver, world } = flow({ flowBufferBytes: 100, budgetBytes: 1000 });
  server.pendingBytes = 50;
  assertEquals(driver.admits("server"), true);
  server.pendingBytes = 51;
  assertEquals([driver.admits("server"), driver.admits("client")], [false, true]);
  server.pendingBytes = 1;
  world.budget.adjust(2000);
  assertEquals([driver.admits("server"), driver.admits("client")], [false, true]);
  server.pendingBytes = 0;
  assertEquals(driver.admits("server"), true);
});

Deno.test("FlowDriver counts what the session holds against the flow's budget", () => {
  const { client, session } = flow({ flowBufferBytes: 100 });
  session.onReceived = () => session.heldBytes = 101;
  client.handler.onData(new Uint8Array(0));
  assertEquals(client.reading, false);
});

Deno.test("the beginning of a head does not keep its client from sending the rest of it", () => {
  const { client, session } = flow({ flowBufferBytes: 100 });
  session.onReceived = () => session.heldBytes = session.unfinishedBytes = 1000;
  client.handler.onData(new Uint8Array(0));
  assertEquals(client.reading, true);
  session.onReceived = () => session.unfinishedBytes = 899;
  client.handler.onData(new Uint8Array(0));
  assertEquals(client.reading, false);
});

Deno.test("what a client has sent ahead does not keep its server from being read", () => {
  for (const limits of [{ flowBufferBytes: 100 }, { budgetBytes: 100 }]) {
    const { client, server, session } = flow(limits);
    session.onReceived = () => session.heldBytes = 101;
    client.handler.onData(new Uint8Array(0));
    assertEquals([client.reading, server.reading], [false, true]);
    server.handler.onData(new Uint8Array("budgetBytes" in limits ? 1 : 101));
    assertEquals([client.reading, server.reading], [false, false]);
  }
});

Deno.test("FlowDriver does not read a side while the other side is congested", () => {
  const { client, server } = flow();
  server.congested = true;
  client.handler.onData(new Uint8Array(10));
  assertEquals([client.reading, server.reading], [false, true]);
  server.congested = false;
  server.handler.onDrain();
  assertEquals([client.reading, server.reading], [true, true]);
});

Deno.test("above limits.max_in_flight_bytes flows that hold any of it are not read, and others are", () => {
  const budget = new InFlightBudget(100);
  const first = flow({ budget });
  const second = flow({ budget });
  const third = flow({ budget });
  const reading = () => [first.client.reading, second.client.reading, third.client.reading];
  first.client.handler.onData(new Uint8Array(90));
  second.client.handler.onData(new Uint8Array(10));
  assertEquals(reading(), [true, true, true]);
  second.client.handler.onData(new Uint8Array(1));
  first.client.handler.onData(new Uint8Array(0));
  third.client.handler.onData(new Uint8Array(0));
  assertEquals(reading(), [false, false, true]);
  second.server.pendingBytes = 0;
  second.server.handler.onDrain();
  assertEquals(budget.bytes, 90);
  assertEquals(reading(), [true, true, true]);
});

Deno.test("FlowDriver does not read while the event log is full, and goes on when it wakes", () => {
  const { client, server, state } = flow();
  state.logFull = true;
  client.handler.onData(new Uint8Array(1));
  assertEquals([client.reading, server.reading], [false, false]);
  state.logFull = false;
  for (const wake of state.wakes.splice(0)) wake();
  assertEquals([client.reading, server.reading], [true, true]);
});

Deno.test("FlowDriver ends one flow when its session throws, and counts the bug", () => {
  const { client, server, session, state, world } = flow();
  session.onReceived = () => {
    throw new Error("ours");
  };
  client.handler.onData(new Uint8Array(1));
  assertEquals(state.bugs.length, 1);
  assertEquals(state.closed, 1);
  client.handler.onClosed();
  server.handler.onClosed();
  assertEquals(state.gone, 1);
  assertEquals(world.budget.bytes, 0);
  assertEquals(world.deadlines.size, 0);
});

Deno.test("FlowDriver gives nothing to a session that is closed", () => {
  const { client, session, driver } = flow();
  let received = 0;
  session.onReceived = () => received++;
  driver.abort();
  client.handler.onData(new Uint8Array(1));
  assertEquals(received, 0);
  assert(driver.closed);
});

Deno.test("FlowDriver waits for no connection that its handshake has abandoned for another", () => {
  const { client, session, state, world } = flow();
  let cancelled = 0;
  world.secureServer = (conn, _target, _options, callbacks) => {
    conn.destroy();
    callbacks.abandoned();
    return () => cancelled++;
  };
  session.effects.secureServer({
    host: "server.test",
    port: 1,
    alpn: [],
    profile: "default",
    verify: true,
    overrideId: null,
  });
  session.effects.close();
  assertEquals([cancelled, state.gone], [1, 0]);
  client.handler.onClosed();
  assertEquals(state.gone, 1);
});

/** A flow with messages in it, whose log is full after so many events. */
function talkative(room: number) {
  const all = flow({ flowBufferBytes: 10_000_000, budgetBytes: 10_000_000 });
  const { client, session, state, world, driver } = all;
  const reads: number[] = [];
  let events = 0;
  world.record = (_context, { kind }) => {
    if (kind === "ndjson_line" && ++events % room === 0) state.logFull = true;
  };
  session.onReceived = (_side, data) => {
    reads.push(data.length);
    for (let line = 0; line < data.length / 2; line++) session.effects.record(LINE);
  };
  driver.record(REQUEST);
  const wake = () => {
    state.logFull = false;
    for (const wakened of state.wakes.splice(0)) wakened();
  };
  /** The deadline by which what waits goes on after others. */
  const goOn = () => driver.expire(10_000_000);
  return { ...all, client, session, state, driver, reads, wake, goOn };
}

Deno.test("FlowDriver hands over what was read as the log can take it, and reads no more meanwhile", () => {
  const { client, server, reads, wake, goOn } = talkative(10_000);
  const piece = PIECE_BYTES_MIN;
  client.handler.onData(new Uint8Array(3 * piece + 5));
  assertEquals([reads, client.reading], [[piece, piece], false]);
  // What comes all the same waits behind it.
  client.handler.onData(new Uint8Array(1));
  goOn();
  assertEquals(reads.length, 2, "the log is still full");
  wake();
  assertEquals([reads.length, client.reading], [2, false], "others go first");
  goOn();
  assertEquals([reads, client.reading, server.reading], [[piece, piece, piece], false, false]);
  wake();
  goOn();
  assertEquals([reads.slice(3), client.reading, server.reading], [[6], true, true]);
});

Deno.test("FlowDriver gives what waits before the end of its side, and not for another connection", () => {
  const { client, session, reads } = talkative(1);
  const told: string[] = [];
  session.onEnded = (side) => told.push(`${side} after ${reads.length}`);
  client.handler.onData(new Uint8Array(3 * PIECE_BYTES_MIN));
  client.handler.onEnd();
  assertEquals([told, reads], [["client after 2"], [PIECE_BYTES_MIN, 2 * PIECE_BYTES_MIN]]);

  const other = talkative(1);
  other.server.handler.onData(new Uint8Array(3 * PIECE_BYTES_MIN));
  other.session.effects.closeServer();
  other.wake();
  other.goOn();
  assertEquals(other.reads, [PIECE_BYTES_MIN]);
});

Deno.test("FlowDriver goes on with what waits however much the other side says meanwhile", () => {
  const { client, server, world, driver, reads, wake } = talkative(8 * 1024);
  let now = 0;
  world.now = () => now;
  client.handler.onData(new Uint8Array(PIECE_BYTES_MIN + 4));
  wake();
  assertEquals(reads, [PIECE_BYTES_MIN]);
  const deadline = driver.nextDeadline;
  for (now = 0; now < deadline; now += deadline / 10) server.handler.onData(new Uint8Array(1));
  driver.expire(deadline);
  assertEquals(reads.filter((bytes) => bytes > 1), [PIECE_BYTES_MIN, 4]);
});

Deno.test("FlowDriver keeps the order of what comes while a session is busy and then has to wait", () => {
  const { client, server, session, wake, goOn } = talkative(8 * 1024);
  const told: number[] = [];
  const { onReceived } = session;
  session.onReceived = (side, data) => {
    if (side === "server") {
      client.handler.onData(new Uint8Array(2 * PIECE_BYTES_MIN).fill(1));
      client.handler.onData(new Uint8Array(2).fill(2));
      return;
    }
    told.push(data[0]!, data[data.length - 1]!);
    onReceived(side, data);
  };
  server.handler.onData(new Uint8Array(1));
  assertEquals(told, [1, 1]);
  for (let round = 0; round < 2; round++) {
    wake();
    goOn();
  }
  assertEquals(told, [1, 1, 1, 1, 2, 2]);
});

Deno.test("FlowDriver gives nothing of a connection that was let go meanwhile to the session of the next", () => {
  const { client, server, session } = talkative(1_000_000);
  const told: string[] = [];
  session.onReceived = (side, data) => {
    told.push(`${side} ${data.length}`);
    if (side === "server") return;
    server.handler.onData(new Uint8Array(3));
    session.effects.closeServer();
    session.effects.open({ host: "server.test", port: 2 });
  };
  client.handler.onData(new Uint8Array(1));
  assertEquals(told, ["client 1"]);
});

Deno.test("FlowDriver cuts nothing of a tunnel, and little of what gives few events", () => {
  const { client, session, reads } = talkative(1_000_000);
  session.onReceived = (_side, data) => reads.push(data.length);
  client.handler.onData(new Uint8Array(256 * 1024));
  assertEquals(reads.map((bytes) => bytes / 1024), [16, 32, 64, 64, 64, 16]);
  const tunnel = flow();
  const tunnelled: number[] = [];
  tunnel.session.onReceived = (_side, data) => tunnelled.push(data.length);
  tunnel.client.handler.onData(new Uint8Array(256 * 1024));
  assertEquals(tunnelled, [256 * 1024]);
});
