/**
 * A running proxy: listeners, flows, the certificate authority and the event log, put together.
 * Everything a flow needs of the world is given to its driver here.
 */
import { createHash } from "node:crypto";
import type net from "node:net";
import tls from "node:tls";
import type { Authority } from "../core/authority.ts";
import type { CloseReason } from "../core/close_reason.ts";
import type { FlowContext, FlowEvent } from "../core/event.ts";
import type { Instant } from "../core/instant.ts";
import { formatIpv6, readIpv6 } from "../core/ip_address.ts";
import type {
  ClientTlsFailure,
  Decision,
  LearningKey,
  LearningNote,
  Question,
  SecureClient,
  SecureServer,
} from "../core/session.ts";
import type { TlsProfile } from "../core/settings.ts";
import { compileOverrides, type Overrides } from "../policy/overrides.ts";
import { compilePolicy } from "../policy/rules.ts";
import { ProxySession } from "../proxy/session.ts";
import { type SessionConfig, sessionConfig } from "../proxy/session_config.ts";
import { InFlightBudget } from "./budget.ts";
import { type CertificateAuthority, type Leaf, openCertificateAuthority } from "./ca_store.ts";
import { ClientIdentities } from "./client_identities.ts";
import type { Conn } from "./conn.ts";
import { Deadlines } from "./deadlines.ts";
import { descriptorLimit } from "./descriptors.ts";
import { Dialer } from "./dialer.ts";
import { EventLog } from "./event_log.ts";
import { transportFault } from "./faults.ts";
import { type ConnCallbacks, FlowDriver, type SecureCallbacks, type World } from "./flow_driver.ts";
import { openSha256 } from "./digest.ts";
import { INFLATERS } from "./inflate.ts";
import { LearnedBypasses } from "./learned_bypasses.ts";
import { Listener } from "./listener.ts";
import type {
  Notice,
  PolicyFunction,
  ProxyCounters,
  ProxyEnd,
  ProxyOptions,
  RunningProxy,
} from "./running_proxy.ts";
import { ServerTrust, versionsOf } from "./server_trust.ts";
import { StartError } from "./start_error.ts";
import { TcpConn } from "./tcp_conn.ts";
import { ServerTls } from "./server_tls.ts";
import { refuseClientSide, secureClientSide } from "./tls_conn.ts";
import { TlsFailureCounters } from "./tls_failures.ts";

export type { ProxyCounters, ProxyEnd, ProxyOptions, RunningProxy } from "./running_proxy.ts";

/** Descriptors kept free for dials, the log and name look-ups when accepting stops. */
const DESCRIPTOR_RESERVE = 48;
const CA_ROTATION_CHECK_MS = 60 * 60 * 1000;

/** Starts a proxy; resolves when it accepts connections. Throws a `StartError` that says what to mend. */
export async function startProxy(options: ProxyOptions): Promise<RunningProxy> {
  const { settings } = options;
  const compiled = compilePolicy(settings.policy);
  if (compiled.type === "error") throw new StartError("config_invalid", compiled.detail);
  const overrides = compileOverrides(settings.overrides);
  if (overrides.type === "error") throw new StartError("config_invalid", overrides.detail);
  const [ca, trust, identities] = await Promise.all([
    openCertificateAuthority(settings),
    ServerTrust.load(settings.tls, { ownsProcess: options.ownsProcess ?? false }),
    ClientIdentities.load(settings),
  ]);
  const policy = options.policy === undefined ? compiled : {
    policy: options.policy,
    decidesRequests: true,
    decidesHellos: false,
  };
  const proxy = new ProxyWorld(options, ca, trust, identities, policy, overrides.override);
  await proxy.openLog();
  try {
    await proxy.listen();
  } catch (error) {
    await proxy.closeLog();
    throw error;
  }
  options.onOpened?.();
  return {
    listen: proxy.addresses,
    caCertPath: ca.certPath,
    get caCertPem() {
      return ca.certPem;
    },
    ended: proxy.ended,
    get counters() {
      return proxy.counters;
    },
    stop: () => proxy.stop(),
    abort: () => proxy.abort(),
  };
}

class ProxyWorld implements World {
  readonly deadlines: Deadlines;
  readonly budget: InFlightBudget;
  readonly flowBufferBytes: number;
  readonly ended: Promise<ProxyEnd>;
  readonly #resolveEnded: (end: ProxyEnd) => void;
  readonly #config: SessionConfig;
  readonly #dialer: Dialer;
  readonly #serverTls: ServerTls;
  readonly #openedAt = performance.now();
  readonly #failures = new TlsFailureCounters();
  readonly #learnedBypasses: LearnedBypasses;
  readonly #contexts = { "TLSv1.2": new WeakMap<object, tls.SecureContext>(), "TLSv1.3": new WeakMap() };
  /** Flows whose session is open. */
  readonly #open = new Set<FlowDriver>();
  /** All flows with a connection left, those that are flushing included. */
  readonly #flows = new Set<FlowDriver>();
  readonly #waitingForLog = new Set<() => void>();
  readonly #descriptorsMax = descriptorLimit();
  #listeners: Listener[] = [];
  #log!: EventLog;
  #flowNumber = 0;
  readonly #closedFlows: Partial<Record<CloseReason, number>> = {};
  #stopping: Promise<void> | null = null;
  #onceDrained: (() => void) | null = null;
  #failure: string | null = null;
  #starved = false;
  #bugs = 0;
  #rotation: ReturnType<typeof setInterval> | null = null;

  constructor(
    private readonly options: ProxyOptions,
    private readonly ca: CertificateAuthority,
    trust: ServerTrust,
    identities: ClientIdentities,
    private readonly policy: {
      readonly policy: PolicyFunction;
      readonly decidesRequests: boolean;
      readonly decidesHellos: boolean;
    },
    private readonly override: Overrides,
  ) {
    const { settings } = options;
    this.#config = sessionConfig(settings, {
      md5: (text) => createHash("md5").update(text).digest("hex"),
      sha1: (text) => createHash("sha1").update(text).digest("hex"),
      sha256: (text) => createHash("sha256").update(text).digest("hex"),
      inflaters: INFLATERS,
      openSha256,
    }, policy);
    this.budget = new InFlightBudget(settings.limits.maxInFlightBytes);
    this.flowBufferBytes = settings.limits.flowBufferBytes;
    this.deadlines = new Deadlines(() => this.now(), {
      set(delayMs, fire) {
        const id = setTimeout(fire, delayMs);
        return () => clearTimeout(id);
      },
    });
    this.#dialer = new Dialer({
      isSelf: (address, port) => this.#isSelf(address, port),
      onExhausted: () => this.#starve("a dial found no free descriptor"),
    });
    const sendSni = settings.tls.upstreamSniMode !== "disabled";
    this.#serverTls = new ServerTls(trust, this.#dialer, sendSni, identities);
    const { promise, resolve } = Promise.withResolvers<ProxyEnd>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    for (const message of [...ca.notice, ...trust.notices]) this.#notice("warn", message);
    this.#learnedBypasses = new LearnedBypasses(settings, {
      notice: ({ level, message }) => this.#notice(level, message),
      nowMs: Date.now,
    });
    if (settings.tls.caRotateAfterMs > 0) this.#rotateByAge();
  }

  async openLog(): Promise<void> {
    const { settings, version, configDigest } = this.options;
    this.#log = await EventLog.open({
      sinks: settings.events.sinks,
      rotateBytes: settings.events.rotateBytes,
      sync: settings.events.sync,
      onSinkFailure: settings.events.onSinkFailure,
      header: { version, configDigest, openedAt: new Date().toISOString() },
      onFailure: (message, fatal) => {
        this.#notice("error", message);
        if (fatal) this.#fail(message);
      },
    });
    for (const message of this.#log.notices) this.#notice("warn", message);
    this.#log.onReady = () => {
      const waiting = [...this.#waitingForLog];
      this.#waitingForLog.clear();
      for (const wake of waiting) wake();
    };
    if (this.options.onEvent !== undefined) this.#log.subscribe(this.options.onEvent);
  }

  async closeLog(): Promise<void> {
    await this.#log.close();
  }

  async listen(): Promise<void> {
    try {
      for (const address of this.options.settings.listen) {
        this.#listeners.push(
          await Listener.listen(address, {
            onConnection: (socket) => this.#accept(socket),
            onPause: (at) =>
              this.#notice("warn", `Out of descriptors: not accepting on ${at} until some are free`),
            onResume: (at) => this.#notice("info", `Accepting on ${at} again`),
            onError: (message) => this.#notice("error", message),
          }),
        );
      }
    } catch (error) {
      for (const listener of this.#listeners) listener.close();
      throw error;
    }
  }

  get addresses(): readonly string[] {
    return this.#listeners.map(({ address }) => address);
  }

  get counters(): ProxyCounters {
    const { hits, misses } = this.ca.counters;
    const { events, dropped } = this.#log.counters;
    return {
      flows: this.#flowNumber,
      openFlows: this.#open.size,
      closedFlows: { ...this.#closedFlows },
      connectedFlows: this.#flows.size,
      inFlightBytes: this.budget.bytes,
      events,
      eventsDropped: dropped,
      leafHits: hits,
      leafMisses: misses,
      bugs: this.#bugs,
    };
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  abort(): void {
    void this.stop();
    for (const flow of [...this.#flows]) flow.abort();
    this.#checkDrained();
  }

  async #stop(): Promise<void> {
    for (const listener of this.#listeners) listener.close();
    if (this.#rotation !== null) clearInterval(this.#rotation);
    for (const flow of [...this.#open]) flow.drain();
    if (this.#flows.size > 0) {
      const drained = new Promise<void>((resolve) => this.#onceDrained = resolve);
      const timer = setTimeout(() => {
        for (const flow of [...this.#flows]) flow.abort();
        this.#checkDrained();
      }, this.options.settings.timeouts.drainMs);
      await drained;
      clearTimeout(timer);
    }
    await this.#learnedBypasses.saved();
    await this.#log.close();
    this.#resolveEnded(
      this.#failure === null
        ? { reason: "stopped", detail: "" }
        : { reason: "failed", detail: this.#failure },
    );
  }

  /** Something ends the running proxy: the flows are closed and the rest of the log is written. */
  #fail(message: string): void {
    if (this.#failure !== null) return;
    this.#failure = message;
    this.abort();
  }

  #accept(socket: net.Socket): void {
    const conn = TcpConn.accepted(socket);
    const context: FlowContext = {
      flowId: `${this.#log.flowIdPrefix}${++this.#flowNumber}`,
      clientAddr: clientAddress(conn.socket),
      serverHost: null,
      serverPort: 0,
      sequence: 0,
    };
    const full = this.#open.size >= this.options.settings.limits.maxFlows;
    const flow = new FlowDriver(
      this,
      context,
      conn,
      (effects) => new ProxySession(context, effects, this.#config, full ? { refuse: "too_many_flows" } : {}),
    );
    if (!full) this.#open.add(flow);
    this.#flows.add(flow);
    flow.begin();
    const near = this.#descriptorsMax;
    if (near !== null && this.#flows.size * 2 + DESCRIPTOR_RESERVE > near) {
      this.#starve(`${this.#flows.size} flows and a limit of ${near} descriptors`);
    }
  }

  #starve(why: string): void {
    if (this.#starved || this.#stopping !== null) return;
    this.#starved = true;
    this.#notice("warn", `Accepting pauses: ${why}`);
    for (const listener of this.#listeners) listener.pause();
  }

  #isSelf(address: string, port: number): boolean {
    return this.#listeners.some(({ bound }) => {
      if (bound.type !== "tcp" || bound.port !== port) return false;
      const plain = plainAddress(address);
      const loopback = plain === "::1" || plain.startsWith("127.");
      const wildcard = bound.host === "0.0.0.0" || bound.host === "::";
      return plain === bound.host || plain === "0.0.0.0" || plain === "::" || (wildcard && loopback) ||
        (wildcard && ownAddresses().has(plain));
    });
  }

  #rotateByAge(): void {
    const check = async () => {
      const { outcome, notice } = await this.ca.maybeRotate(Date.now());
      if (notice !== null) this.#notice(outcome === "failed" ? "warn" : "info", notice);
    };
    void check();
    this.#rotation = setInterval(check, CA_ROTATION_CHECK_MS);
    Deno.unrefTimer(this.#rotation as unknown as number);
  }

  #notice(level: Notice["level"], message: string): void {
    this.options.onNotice?.({ level, message });
  }

  #checkDrained(): void {
    if (this.#flows.size === 0) this.#onceDrained?.();
  }

  // World

  now(): Instant {
    return Math.round((performance.now() - this.#openedAt) * 1e6);
  }

  decide(question: Question): Decision | Promise<Decision> {
    const decision = this.policy.policy(question);
    return decision instanceof Promise
      ? decision.then((decided) => this.override(decided, question))
      : this.override(decision, question);
  }

  dial(target: Authority, callbacks: ConnCallbacks): () => void {
    return this.#dialer.dial(target, callbacks);
  }

  dialDatagrams(target: Authority, callbacks: ConnCallbacks): () => void {
    return this.#dialer.dialDatagrams(target, callbacks);
  }

  secureServer(conn: Conn, target: Authority, options: SecureServer, callbacks: SecureCallbacks): () => void {
    return this.#serverTls.secure(conn, target, options, callbacks);
  }

  secureClient(conn: Conn, options: SecureClient, callbacks: SecureCallbacks): () => void {
    try {
      const leaf = this.ca.leaf(options.host);
      if ("error" in leaf) {
        return refuseClientSide(
          conn,
          { kind: "tls", code: leaf.error, detail: leaf.detail, own: true },
          callbacks,
        );
      }
      return secureClientSide(conn, {
        context: this.#contextOf(leaf, options.profile),
        alpn: options.alpn,
        preread: options.preread,
        certCache: leaf.cache,
      }, callbacks);
    } catch (error) {
      return refuseClientSide(conn, transportFault(error), callbacks);
    }
  }

  #contextOf(leaf: Leaf, profile: TlsProfile): tls.SecureContext {
    const minVersion = versionsOf(profile);
    const contexts = this.#contexts[minVersion];
    let context = contexts.get(leaf.key);
    if (context === undefined) {
      context = tls.createSecureContext({ cert: leaf.certPem, key: leaf.keyPem, minVersion });
      contexts.set(leaf.key, context);
    }
    return context;
  }

  record(context: FlowContext, event: FlowEvent, now: Instant): void {
    if (event.kind === "stream_closed") {
      const reason = event.attributes.reason_code as CloseReason;
      this.#closedFlows[reason] = (this.#closedFlows[reason] ?? 0) + 1;
    }
    this.#log.record(context, event, now);
  }

  logFull(wake: () => void): boolean {
    if (!this.#log.full) return false;
    this.#waitingForLog.add(wake);
    return true;
  }

  countTlsFailure(host: string, reason: string): { reason: number; total: number } {
    return this.#failures.count(host, reason, this.now());
  }

  learn(failure: ClientTlsFailure): LearningNote | null {
    return this.#learnedBypasses.learn(failure);
  }

  learned(client: LearningKey): LearningNote | null {
    return this.#learnedBypasses.learned(client);
  }

  sessionClosed(flow: FlowDriver): void {
    this.#open.delete(flow);
  }

  flowGone(flow: FlowDriver): void {
    this.#flows.delete(flow);
    if (this.#starved && this.#descriptorsFree()) {
      this.#starved = false;
      for (const listener of this.#listeners) listener.resume();
    }
    this.#checkDrained();
  }

  bug(error: unknown): void {
    this.#bugs++;
    const text = error instanceof Error ? error.stack ?? error.message : String(error);
    this.#notice("error", `An exception in the proxy or in its policy function ended a flow: ${text}`);
  }

  /** Some room beyond the reserve, so that accepting does not flap. */
  #descriptorsFree(): boolean {
    return this.#descriptorsMax === null ||
      (this.#flows.size + 8) * 2 + DESCRIPTOR_RESERVE <= this.#descriptorsMax;
  }
}

function clientAddress(socket: net.Socket): string {
  const { remoteAddress, remotePort } = socket;
  if (remoteAddress === undefined) return "unix";
  return remoteAddress.includes(":") ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}

/** One spelling for each address; an IPv4-mapped one (RFC 4291 §2.5.5.2) is what the kernel takes it for. */
function plainAddress(address: string): string {
  const bytes = readIpv6(address);
  if (bytes === null) return address;
  const mapped = bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff &&
    bytes[11] === 0xff;
  return mapped ? bytes.subarray(12).join(".") : formatIpv6(bytes);
}

function ownAddresses(): ReadonlySet<string> {
  try {
    return new Set(Deno.networkInterfaces().map(({ address }) => address));
  } catch {
    // Without the `sys` grant only loopback and the listener's own address are known to be ours.
    return new Set();
  }
}
