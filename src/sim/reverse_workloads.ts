/** Flows of a reverse listener: HTTP/1.1 in TLS or in the clear, to an origin that is either, or not reached. */
import type { Origin } from "../proxy/origin.ts";
import { latin1 } from "./bytes.ts";
import { answers, ends, pauses, says, type Turn } from "./dialogue.ts";
import {
  clearClient,
  dialStatus,
  type FlowPlan,
  type Planner,
  server,
  tlsClient,
  type TlsSetup,
  tlsSetup,
  unreachableServer,
} from "./flow_plan.ts";
import { EXCHANGE_KINDS, type ExchangePlan, LAST_EXCHANGE_KINDS, planExchange } from "./messages.ts";
import type { Peer, Script } from "./script.ts";

interface Parties {
  readonly name: string;
  readonly host: string;
  readonly authority: string;
  readonly origin: Origin;
  /** Null: the client speaks in the clear. */
  readonly client: TlsSetup | null;
  /** Null: so does the origin. */
  readonly server: TlsSetup | null;
}

function parties({ random, flow }: Planner): Parties {
  const host = `f${flow}.test`;
  const origin = { authority: { host, port: random.pick([443, 8080]) }, tls: random.chance(0.5) };
  const sni = random.pick([null, host, `other-${flow}.test`]);
  const client = random.chance(0.5) ? tlsSetup(host, random, { sni }) : null;
  // The origin is asked for by its own name, whatever the client calls it.
  const server = origin.tls
    ? client === null
      ? { hello: new Uint8Array(0), host, offers: ["http/1.1"], chooses: "http/1.1" }
      : { ...client, hello: new Uint8Array(0), host }
    : null;
  return {
    name: `${client === null ? "the clear" : "TLS"} to an origin in ${origin.tls ? "TLS" : "the clear"}`,
    host,
    authority: `${host}:${origin.authority.port}`,
    origin,
    client,
    server,
  };
}

function clientOf(
  { client }: Parties,
  turns: readonly Turn[],
  farewell: "ends" | "waits",
): (peer: Peer) => Script {
  return client === null
    ? clearClient(turns, farewell)
    : tlsClient([], client, turns, { farewell, isEager: false });
}

/** Any exchanges in a row. */
export function reverseExchanges(planner: Planner): FlowPlan {
  const { random } = planner;
  const to = parties(planner);
  const plans: ExchangePlan[] = [];
  const count = random.between(1, 4);
  for (let index = 0; index < count && plans.at(-1)?.isLast !== true; index++) {
    const kind = random.pick(
      index === count - 1 && random.chance(0.5) ? LAST_EXCHANGE_KINDS : EXCHANGE_KINDS,
    );
    const place = { host: to.authority, path: `/${index}`, server: 0, toProxy: false };
    plans.push(planExchange(kind, place, random));
  }
  const turns = plans.flatMap((plan) => plan.turns);
  const [asks, ...answered] = plans.at(-1)!.turns;
  // A client may end while it still waits for the last response, before the origin is even reached.
  const endsEarly = plans.at(-1)!.isLast && random.chance(0.4);
  const clientTurns = endsEarly
    ? [
      ...plans.slice(0, -1).flatMap((plan) => plan.turns),
      asks!,
      ...(random.chance(0.5) ? [pauses("client", random.between(1, 500))] : []),
      ends("client"),
      ...answered,
    ]
    : turns;
  return {
    name: `exchanges from ${to.name}`,
    client: clientOf(to, clientTurns, plans.at(-1)!.isLast ? random.pick(["ends", "waits"]) : "ends"),
    servers: new Map([[to.authority, server(turns, 0, to.server)]]),
    actions: new Map(),
    hello: to.client?.hello ?? null,
    reverse: to.origin,
    reasons: ["complete"],
    exchanges: plans,
  };
}

/** The origin is not reached, or policy blocks it: the client is told in what it speaks. */
export function reverseRefusals(planner: Planner): FlowPlan {
  const { random } = planner;
  const to = parties(planner);
  const isBlocked = random.chance(0.4);
  const dial = random.pick(
    ["refused", "unresolved", "unreachable", "self_target", "never", "too_late"] as const,
  );
  const asks = says("client", latin1(`GET / HTTP/1.1\r\nHost: ${to.authority}\r\n\r\n`));
  return {
    name: `${isBlocked ? "blocked" : dial}: ${to.name}`,
    client: clientOf(to, [asks, answers(isBlocked ? 403 : dialStatus(dial))], random.pick(["ends", "waits"])),
    servers: new Map([[to.authority, unreachableServer(dial)]]),
    actions: new Map(isBlocked ? [[to.host, "block"]] : []),
    hello: to.client?.hello ?? null,
    reverse: to.origin,
    reasons: isBlocked ? ["blocked"] : ["upstream_connect_failed", "route_failed"],
    exchanges: [],
  };
}
