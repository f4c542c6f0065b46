/**
 * The phases of a flow and every step between them, on one screen. A step that is not in the table
 * is a bug of ours: it is refused and counted, and the session ends the flow as `internal_error`.
 *
 *   awaiting_head ──► deciding ──► opening ──► peeking ──► securing_server ──► securing_client ──► http1, http2
 *        │               ▲            │           ├──────────────► http1, http2 (in the clear)          │
 *        │               │            └► tunnel ◄─┤                   │                                 ▼
 *        └─► http1 ──────┘ (CONNECT after plain requests)             └► securing_refusal       tunnel (101 in http1)
 *                                                                         └► refusing (server TLS failed)
 *   opening ──► datagrams (CONNECT-UDP, which comes as a plain request)
 *   every phase ──► closed
 *
 * Behind a reverse listener the server is dialled only when the first bytes have shown what the client speaks:
 *
 *   deciding ──► peeking ──► opening ──► securing_server ──► securing_client ──► http1, http2
 *                   │           ├── (the origin in the clear) ──┘                    ▲
 *                   │           └──► (the client in the clear, after securing_server) ┘
 *                   └──► securing_refusal ──► refusing (blocked, or from opening: not reached)
 */
export const PHASES = [
  "awaiting_head",
  "deciding",
  "opening",
  "peeking",
  "reconsidering",
  "securing_server",
  "securing_client",
  "securing_refusal",
  "refusing",
  "http1",
  "http2",
  "tunnel",
  "datagrams",
  "closed",
] as const;
export type Phase = typeof PHASES[number];

export const TRANSITIONS: Readonly<Record<Phase, readonly Phase[]>> = {
  /** The first head from the client is not whole yet. */
  awaiting_head: ["deciding", "http1", "closed"],
  /** Policy was asked about a CONNECT, or about the origin of a reverse listener. */
  deciding: ["opening", "peeking", "closed"],
  /** The server is being dialled. */
  opening: [
    "peeking",
    "securing_server",
    "securing_client",
    "securing_refusal",
    "refusing",
    "http1",
    "http2",
    "tunnel",
    "datagrams",
    "closed",
  ],
  /** The first bytes tell TLS, HTTP or neither. After a CONNECT the 200 is out and the server connected. */
  peeking: [
    "reconsidering",
    "opening",
    "securing_server",
    "securing_refusal",
    "refusing",
    "http1",
    "http2",
    "tunnel",
    "closed",
  ],
  /** The ClientHello named another host than the CONNECT; policy is asked again. */
  reconsidering: ["opening", "securing_server", "tunnel", "closed"],
  securing_server: ["securing_client", "securing_refusal", "refusing", "http1", "http2", "closed"],
  securing_client: ["http1", "http2", "closed"],
  /** The client is refused; its handshake is made so that it can be told why. */
  securing_refusal: ["refusing", "closed"],
  refusing: ["closed"],
  http1: ["awaiting_head", "tunnel", "closed"],
  http2: ["closed"],
  tunnel: ["closed"],
  /** CONNECT-UDP: capsules from the client, datagrams from the server. */
  datagrams: ["closed"],
  closed: [],
};

export class FlowState {
  #phase: Phase = "awaiting_head";
  /** Steps that were refused; always 0 unless we have a bug. */
  illegal = 0;

  get phase(): Phase {
    return this.#phase;
  }

  /** Takes the step if the table has it. */
  to(next: Phase): boolean {
    if (!TRANSITIONS[this.#phase].includes(next)) {
      this.illegal++;
      return false;
    }
    this.#phase = next;
    return true;
  }
}
