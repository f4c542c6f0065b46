/**
 * The simulated world: what `runtime/proxy.ts` is for real flows, with virtual time and links, scripted peers,
 * and a log of virtual speed. Everything above it (driver, session, relay, deadlines, budget) is the real code.
 */
import { openSha256 } from "../runtime/digest.ts";
import { INFLATERS } from "../runtime/inflate.ts";
import { createHash } from "node:crypto";
import { type Authority, formatAuthority } from "../core/authority.ts";
import type { FlowContext, FlowEvent } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import type {
  ClientTlsFailure,
  Decision,
  Effects,
  LearningKey,
  LearningNote,
  Question,
  SecureClient,
  SecureServer,
  Session,
} from "../core/session.ts";
import { Learning } from "../policy/learning.ts";
import { ProxySession } from "../proxy/session.ts";
import { type SessionConfig, sessionConfig } from "../proxy/session_config.ts";
import { InFlightBudget } from "../runtime/budget.ts";
import { settingsFromValues } from "../runtime/config/load.ts";
import type { Conn } from "../runtime/conn.ts";
import { Deadlines } from "../runtime/deadlines.ts";
import { type ConnCallbacks, FlowDriver, type SecureCallbacks, type World } from "../runtime/flow_driver.ts";
import { SimClock, SimTimer } from "./clock.ts";
import { watched } from "./contract.ts";
import { SimDatagrams } from "./datagrams.ts";
import type { FlowPlan } from "./flow_plan.ts";
import { CALM, Link, type LinkEnd, type Tap } from "./link.ts";
import { type Fault, linkConditions, type SimOptions, SIP_BYTES } from "./options.ts";
import { Random } from "./random.ts";
import { Deviation, Peer, type Script } from "./script.ts";
import { SimLog } from "./sim_log.ts";
import { secureClientSide, secureServerSide } from "./tls.ts";

export type MakeSession = (
  context: FlowContext,
  effects: Effects,
  config: SessionConfig,
  options: { readonly refuse?: "too_many_flows" },
) => Session;

/** What passed one layer of one connection of the proxy. */
export class Layer implements Tap {
  readonly receivedParts: Uint8Array[] = [];
  readonly writtenParts: Uint8Array[] = [];

  received(data: Uint8Array): void {
    this.receivedParts.push(data);
  }

  written(data: Uint8Array): void {
    this.writtenParts.push(data);
  }
}

/** A connection of the proxy: what it read and wrote in the clear and inside TLS, and what the peer read. */
export interface SimConn {
  readonly end: LinkEnd;
  readonly peer: Peer;
  readonly raw: Layer;
  tls: Layer | null;
  /** A handshake was begun, so that raw bytes are not the application's. */
  isTls: boolean;
  readonly peerReads: Layer;
}

/** One flow and all that is known of it afterwards, for the checkers. */
export class SimFlow {
  readonly events: FlowEvent[] = [];
  readonly dialled: string[] = [];
  readonly servers: SimConn[] = [];
  readonly datagrams: SimDatagrams[] = [];
  /** Null while the client's script runs; `done` when it came to its end as planned. */
  outcome: "done" | Deviation | null = null;
  /** What servers got that no client has said. */
  readonly mismatches: Deviation[] = [];
  session: Session | null = null;
  isClosed = false;
  isGone = false;
  /** The proxy was stopped while this flow was there. */
  wasStopped = false;

  constructor(
    readonly id: string,
    readonly plan: FlowPlan,
    readonly client: SimConn,
    readonly random: Random,
    /** What may be done to it. */
    readonly faults: ReadonlySet<Fault>,
    /** Nothing disturbs it but time: it must come out right. */
    public isSound: boolean,
  ) {}
}

export class SimWorld implements World {
  readonly clock = new SimClock();
  readonly timer = new SimTimer(this.clock);
  readonly deadlines = new Deadlines(this.clock.now, this.timer);
  readonly budget: InFlightBudget;
  readonly flowBufferBytes: number;
  readonly log: SimLog;
  readonly flows: SimFlow[] = [];
  readonly bugs: string[] = [];
  readonly breaches: string[] = [];
  /** When the last flow was gone. */
  endedAt: Instant = 0;
  readonly #config: SessionConfig;
  readonly #open = new Map<FlowDriver, SimFlow>();
  readonly #alive = new Map<FlowDriver, SimFlow>();
  readonly #byId = new Map<string, SimFlow>();
  readonly #byEnd = new Map<Conn, { flow: SimFlow; conn: SimConn }>();
  readonly #links: Link[] = [];
  readonly #failures = new Map<string, number>();
  /** Hosts whose client has refused the CA before. */
  readonly #refusers = new Set<string>();
  readonly #learning = new Learning({ mode: "on", failuresNeeded: 2, windowMs: 60_000, ttlMs: 60_000 });
  readonly #servers = new Map<string, SimFlow>();
  #calm = false;

  /** What observers of all flows still keep, in octets. */
  get observedBytes(): number {
    return this.#config.observe.processBudget.held;
  }

  constructor(
    private readonly options: SimOptions,
    random: Random,
    private readonly makeSession: MakeSession = (context, effects, config, refusal) =>
      new ProxySession(context, effects, config, refusal),
  ) {
    this.budget = new InFlightBudget(options.maxInFlightBytes);
    this.flowBufferBytes = options.flowBufferBytes;
    this.log = new SimLog(this.clock, random.fork());
    if (options.faults.has("full_log")) {
      this.log.speed = { highWaterBytes: random.pick([500, 5_000]), takesEveryMsMax: random.pick([5, 150]) };
    }
    this.#config = configOf(options);
  }

  get aliveFlows(): number {
    return this.#alive.size;
  }

  /** A client connects. `isHarsh`: more may happen to the flow than delays. */
  accept(plan: FlowPlan, isHarsh: boolean, random: Random): void {
    const { options } = this;
    const faults = new Set(isHarsh && !this.#calm ? options.faults : []);
    const isCrowded = options.faults.has("few_flows") || options.faults.has("small_budget");
    const link = this.#link(random, isHarsh);
    const conn = this.#conn(link.server, link.client);
    const id = `1-${this.flows.length + 1}`;
    const flow = new SimFlow(id, plan, conn, random, faults, !isHarsh && !isCrowded);
    this.flows.push(flow);
    this.#byId.set(id, flow);
    this.#byEnd.set(conn.end, { flow, conn });
    for (const authority of plan.servers.keys()) {
      this.#servers.set(authority, flow);
      if (plan.learned) this.#refusers.add(authority.slice(0, authority.lastIndexOf(":")));
    }
    const context: FlowContext = {
      flowId: id,
      clientAddr: `10.9.8.7:${10_000 + this.flows.length}`,
      serverHost: null,
      serverPort: 0,
      sequence: 0,
    };
    const isFull = !this.#calm && this.#open.size >= options.maxFlows;
    const driver = new FlowDriver(this, context, conn.end, (effects) =>
      watched(
        effects,
        (watchedEffects) => {
          flow.session = this.makeSession(
            context,
            watchedEffects,
            plan.reverse === undefined ? this.#config : { ...this.#config, reverse: plan.reverse },
            isFull ? { refuse: "too_many_flows" } : {},
          );
          return flow.session;
        },
        (detail) => this.breaches.push(`flow ${id}: ${detail}`),
      ));
    if (!isFull) this.#open.set(driver, flow);
    this.#alive.set(driver, flow);
    driver.begin();
    if (this.#mayHappen("drip", random) && !this.#calm) {
      conn.peer.pace = { bytes: random.between(1, 3), everyMs: random.between(1, 20), untilBytes: 200 };
    }
    this.#play(flow, conn, link, plan.client(conn.peer), (result) => {
      flow.outcome = result instanceof Deviation ? result : "done";
      if (result instanceof Deviation) conn.peer.end.end();
    });
  }

  /** Every open flow is told to finish, and ended when its time is over. */
  stop(): void {
    const flows = [...this.#alive];
    for (const [, flow] of flows) {
      flow.isSound = false;
      flow.wasStopped = true;
    }
    for (const [driver] of [...this.#open]) driver.drain();
    this.clock.after(this.options.timeouts.drainMs, () => {
      for (const [driver] of flows) if (this.#alive.has(driver)) driver.abort();
    });
  }

  /** The phase of faults is over. */
  calm(): void {
    this.#calm = true;
    this.log.speed = null;
    for (const link of this.#links) {
      link.conditions = CALM;
      link.breakAfterBytes = Infinity;
    }
    for (const { conn } of this.#byEnd.values()) {
      conn.end.lateData = null;
      conn.peer.pace = null;
      conn.peer.sipEveryMs = 0;
      conn.peer.end.setReading(true);
    }
  }

  /** Connections of the proxy that are still open. */
  get openConns(): number {
    let count = 0;
    for (const { conn } of this.#byEnd.values()) if (!conn.end.isClosed) count++;
    for (const { datagrams } of this.flows) for (const { isClosed } of datagrams) if (!isClosed) count++;
    return count;
  }

  // World

  now(): Instant {
    return this.clock.now();
  }

  decide(question: Question): Decision | Promise<Decision> {
    const flow = this.#byId.get(question.flowId)!;
    const action = flow.plan.actions.get(question.authority.host);
    const decision: Decision = action === undefined
      ? { action: "intercept", reason: "default", ruleId: null }
      : { action, reason: "rule", ruleId: "planned" };
    if (this.#calm || !this.#mayHappen("slow_policy", flow.random)) return decision;
    const { promise, resolve } = Promise.withResolvers<Decision>();
    this.clock.after(flow.random.between(0, 500), () => {
      resolve(decision);
      this.clock.promised();
    });
    return promise;
  }

  dial(target: Authority, callbacks: ConnCallbacks): () => void {
    const authority = formatAuthority(target);
    const flow = this.#servers.get(authority);
    const plan = flow?.plan.servers.get(authority);
    if (flow === undefined || plan === undefined) {
      this.breaches.push(`${authority} was dialled, which no client asked for`);
      return this.clock.after(
        0,
        () => callbacks.failed({ kind: "refused", code: "ECONNREFUSED", detail: "" }),
      );
    }
    flow.dialled.push(authority);
    const { dial } = plan;
    if (dial === "never") return () => {};
    const { random } = flow;
    const delayMs = dial === "too_late"
      ? this.options.timeouts.connectMs + random.between(20, 2_000)
      : this.#calm || !this.#mayHappen("slow_dial", random)
      ? 1
      : random.between(1, 300);
    return this.clock.after(delayMs, () => {
      if (dial !== "accepts" && dial !== "too_late") {
        callbacks.failed({ kind: dial, code: dial.toUpperCase(), detail: `simulated: ${dial}` });
        return;
      }
      const link = this.#link(random, flow.faults.size > 0);
      const conn = this.#conn(link.client, link.server);
      flow.servers.push(conn);
      this.#byEnd.set(conn.end, { flow, conn });
      callbacks.opened(conn.end);
      this.#play(flow, conn, link, plan.script(conn.peer), (result) => {
        if (!(result instanceof Deviation)) return;
        if (result.kind === "mismatch") flow.mismatches.push(result);
        if (random.chance(0.5)) conn.peer.end.reset();
        else conn.peer.end.end();
      });
    });
  }

  dialDatagrams(target: Authority, callbacks: ConnCallbacks): () => void {
    const authority = formatAuthority(target);
    const flow = this.#servers.get(authority);
    const dial = flow?.plan.datagrams === true ? flow.plan.servers.get(authority)?.dial : undefined;
    if (flow === undefined || dial === undefined) {
      this.breaches.push(`${authority} was dialled for datagrams, which no client asked for`);
      return this.clock.after(0, () => callbacks.failed({ kind: "other", code: "NONE", detail: "" }));
    }
    flow.dialled.push(authority);
    if (dial === "never") return () => {};
    return this.clock.after(1, () => {
      if (dial !== "accepts") {
        const kind = dial === "too_late" ? "timeout" : dial;
        callbacks.failed({ kind, code: dial.toUpperCase(), detail: `simulated: ${dial}` });
        return;
      }
      const isHarsh = () => !this.#calm && flow.faults.size > 0;
      const datagrams = new SimDatagrams(this.clock, flow.random.fork(), isHarsh);
      flow.datagrams.push(datagrams);
      callbacks.opened(datagrams);
    });
  }

  secureServer(
    conn: Conn,
    _target: Authority,
    options: SecureServer,
    callbacks: SecureCallbacks,
  ): () => void {
    const { flow, conn: known } = this.#byEnd.get(conn)!;
    known.isTls = true;
    known.tls = new Layer();
    return secureServerSide(known.end, options, callbacks, {
      clock: this.clock,
      random: flow.random,
      tap: known.tls,
    });
  }

  secureClient(conn: Conn, options: SecureClient, callbacks: SecureCallbacks): () => void {
    const { flow, conn: known } = this.#byEnd.get(conn)!;
    known.isTls = true;
    known.tls = new Layer();
    return secureClientSide(known.end, options, callbacks, {
      clock: this.clock,
      random: flow.random,
      tap: known.tls,
      hello: flow.plan.hello,
      mismatch: (detail) => this.breaches.push(`flow ${flow.id}: ${detail}`),
    });
  }

  record(context: FlowContext, event: FlowEvent, now: Instant): void {
    this.log.record(context, event, now);
    this.#byId.get(context.flowId)!.events.push(event);
  }

  logFull(wake: () => void): boolean {
    return this.log.full(wake);
  }

  countTlsFailure(host: string, reason: string): { reason: number; total: number } {
    const count = (key: string) => {
      const counted = (this.#failures.get(key) ?? 0) + 1;
      this.#failures.set(key, counted);
      return counted;
    };
    return { reason: count(`${host} ${reason}`), total: count(host) };
  }

  learn(failure: ClientTlsFailure): LearningNote | null {
    return this.#learning.failed(failure, this.#nowMs);
  }

  learned(client: LearningKey): LearningNote | null {
    if (this.#refusers.has(client.host)) this.#refuseCa(client);
    return this.#learning.bypass(client, this.#nowMs);
  }

  get #nowMs(): number {
    return Math.floor(this.clock.now() / 1e6);
  }

  /** What two flows before this one would have come to. */
  #refuseCa(client: LearningKey): void {
    const said = { normalizedReason: "unknown_ca", sourceConfidence: "authoritative", bar: null } as const;
    for (let count = 0; count < 2; count++) {
      this.#learning.failed({ ...client, ...said, error: "simulated" }, this.#nowMs);
    }
  }

  sessionClosed(driver: FlowDriver): void {
    this.#open.delete(driver);
    const flow = this.#alive.get(driver)!;
    if (flow.isClosed) this.breaches.push(`flow ${flow.id}: its session was closed twice`);
    flow.isClosed = true;
  }

  flowGone(driver: FlowDriver): void {
    const flow = this.#alive.get(driver);
    if (flow === undefined) {
      this.breaches.push("a flow was gone twice");
      return;
    }
    this.#alive.delete(driver);
    flow.isGone = true;
  }

  bug(error: unknown): void {
    this.bugs.push(error instanceof Error ? error.stack ?? error.message : String(error));
  }

  // Helpers

  #mayHappen(fault: Fault, random: Random): boolean {
    return this.options.faults.has(fault) && random.chance(0.5);
  }

  #link(random: Random, isHarsh: boolean): Link {
    const conditions = this.#calm ? CALM : linkConditions(this.options, random, isHarsh);
    const link = new Link(this.clock, random.fork(), conditions);
    this.#links.push(link);
    return link;
  }

  #conn(end: LinkEnd, peerEnd: LinkEnd): SimConn {
    const conn: SimConn = {
      end,
      peer: new Peer(this.clock, peerEnd),
      raw: new Layer(),
      tls: null,
      isTls: false,
      peerReads: new Layer(),
    };
    end.tap = conn.raw;
    peerEnd.tap = conn.peerReads;
    return conn;
  }

  /** Starts a peer's script and what may happen to it on the way. */
  #play(
    flow: SimFlow,
    conn: SimConn,
    link: Link,
    script: Script,
    over: (result: void | Deviation) => void,
  ): void {
    const { random } = flow;
    const { peer } = conn;
    if (!this.#calm && link.conditions.capacityBytes === SIP_BYTES) {
      peer.sipEveryMs = random.pick([50, 200, 400]);
    }
    const happens = (fault: Fault) => !this.#calm && flow.faults.has(fault) && random.chance(0.4);
    if (happens("break")) link.breakAfterBytes = random.below(random.pick([500, 5_000, 50_000]));
    if (happens("late_data")) conn.end.lateData = random.bytes(random.between(1, 50));
    if (happens("quit")) {
      const how = random.pick(["resets", "ends", "silent"]);
      this.clock.after(random.below(random.pick([20, 300, 5_000])), () => {
        peer.fallSilent();
        if (how === "resets") peer.end.reset();
        else if (how === "ends") {
          link.endsAbruptly = random.chance(0.5);
          peer.end.end();
        }
      });
    }
    if (happens("deaf")) {
      this.clock.after(random.below(random.pick([20, 300, 5_000])), () => {
        if (!this.#calm) peer.end.setReading(false);
      });
      this.clock.after(random.between(500, 20_000), () => peer.end.setReading(true));
    }
    peer.play(script, over);
  }
}

/** The default settings but for what a run chooses. */
function configOf({ timeouts, captureBytes, maxFlows, http2 }: SimOptions): SessionConfig {
  const { settings } = settingsFromValues({
    cwd: "/",
    checkGrants: false,
    platform: "linux",
    values: {
      state_dir: "/simulated",
      http: { max_head_bytes: 16_384, max_header_fields: 256, http2_max_header_list_size: 16_384 },
      capture: { body_bytes: captureBytes, redact_headers: ["cookie"] },
      limits: { max_flows: maxFlows },
      timeouts: {
        head: `${timeouts.headMs}ms`,
        connect: `${timeouts.connectMs}ms`,
        tls_handshake: `${timeouts.tlsHandshakeMs}ms`,
        idle: `${timeouts.idleMs}ms`,
        exchange_idle: `${timeouts.exchangeIdleMs}ms`,
        tunnel_idle: `${timeouts.tunnelIdleMs}ms`,
      },
    },
  });
  const hash = (name: string) => (text: string) => createHash(name).update(text).digest("hex");
  return {
    ...sessionConfig(settings, {
      md5: hash("md5"),
      sha1: hash("sha1"),
      sha256: hash("sha256"),
      inflaters: INFLATERS,
      openSha256,
    }),
    http2Enabled: http2,
  };
}
