/** All workloads by name, for the swarm to choose from and the command line to name. */
import {
  badConnect,
  badHello,
  clientTlsFails,
  learnedBypass,
  onlyHttp2,
  otherName,
  refusedConnect,
  serverSpeaksInTls,
  serverTlsFails,
  silence,
  tunnel,
  tunnelSaidAtOnce,
} from "./connect_workloads.ts";
import { connectUdp } from "./datagram_workloads.ts";
import type { FlowPlan, Planner } from "./flow_plan.ts";
import { http2Broken, http2FlawedStreams, http2Silence, http2Streams } from "./http2_workloads.ts";
import {
  answersAndStopsReading,
  badRequest,
  badRequestBody,
  badResponse,
  connectAfterForward,
  exchanges,
  forwardRefusals,
  pipelinedCrowd,
  saidAtOnce,
  serverLetsGo,
  silentExchange,
  upgrade,
} from "./http_workloads.ts";

import { webSocket } from "./websocket_workloads.ts";
import { reverseExchanges, reverseRefusals } from "./reverse_workloads.ts";

export const WORKLOADS = {
  exchanges,
  pipelined_crowd: pipelinedCrowd,
  upgrade,
  web_socket: webSocket,
  said_at_once: saidAtOnce,
  bad_request: badRequest,
  bad_request_body: badRequestBody,
  bad_response: badResponse,
  forward_refusals: forwardRefusals,
  connect_after_forward: connectAfterForward,
  server_lets_go: serverLetsGo,
  silent_exchange: silentExchange,
  answers_and_stops_reading: answersAndStopsReading,
  tunnel,
  tunnel_said_at_once: tunnelSaidAtOnce,
  refused_connect: refusedConnect,
  bad_connect: badConnect,
  connect_udp: connectUdp,
  only_http2: onlyHttp2,
  learned_bypass: learnedBypass,
  other_name: otherName,
  server_tls_fails: serverTlsFails,
  client_tls_fails: clientTlsFails,
  server_speaks_in_tls: serverSpeaksInTls,
  bad_hello: badHello,
  silence,
  reverse_exchanges: reverseExchanges,
  reverse_refusals: reverseRefusals,
} as const satisfies Record<string, (planner: Planner) => FlowPlan>;

/** Those that need the proxy to observe HTTP/2. */
export const HTTP2_WORKLOADS = {
  http2_streams: http2Streams,
  http2_flawed_streams: http2FlawedStreams,
  http2_broken: http2Broken,
  http2_silence: http2Silence,
} as const satisfies Record<string, (planner: Planner) => FlowPlan>;

export const ALL_WORKLOADS = { ...WORKLOADS, ...HTTP2_WORKLOADS };

export type WorkloadName = keyof typeof ALL_WORKLOADS;

/** What must work once nothing goes wrong any more. */
export const GOOD_WORKLOADS: readonly WorkloadName[] = ["exchanges", "tunnel", "upgrade", "said_at_once"];
export const GOOD_HTTP2_WORKLOADS: readonly WorkloadName[] = [
  ...GOOD_WORKLOADS,
  "http2_streams",
  "http2_streams",
];
