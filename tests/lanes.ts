/**
 * The lanes of `deno task matrix`: each a named property of the whole, with the tests that show it.
 *
 * A lane is named by what it shows, not by when it was written. `protocols` is what a passing lane vouches for;
 * lanes that leave event logs must have events of each protocol they claim. `REQUIRED_PROTOCOLS` are those that
 * some passing lane must vouch for.
 */
import type { Protocol } from "../src/core/event.ts";
import type { ToolName } from "./support/tools.ts";

/**
 * What lanes vouch for: the log's own protocols, gRPC as HTTP/2 carries it (for it also comes as gRPC-Web), payloads
 * of MsgPack, and the chain of decoders, for which what came out of a content coding vouches.
 */
export type LaneProtocol = Protocol | "grpc_http2" | "msgpack" | "decoders";

export const LANE_KINDS = ["unit", "conformance", "integration", "simulation", "tool"] as const;

export interface Lane {
  readonly name: string;
  readonly kind: typeof LANE_KINDS[number];
  readonly protocols: readonly LaneProtocol[];
  /** Without one of these the lane is skipped, or fails under `--strict-tools`. */
  readonly tools: readonly ToolName[];
  /** Test files, or folders of them, from the project's root. */
  readonly files: readonly string[];
  /** Whether `--quick` runs it: what is worth knowing on each change. */
  readonly quick: boolean;
  /** Whether the lane drives real proxies, whose logs the matrix then verifies once more. */
  readonly leavesLogs: boolean;
  readonly timeoutMs: number;
}

export const REQUIRED_PROTOCOLS: readonly LaneProtocol[] = [
  "connect",
  "tunnel",
  "tls",
  "http1",
  "http2",
  "http3",
  "websocket",
  "sse",
  "msgpack",
  "decoders",
  "grpc_http2",
];

const TOOL_LANE = {
  kind: "tool",
  quick: true,
  leavesLogs: true,
  timeoutMs: 120_000,
} as const;

const VECTOR_LANE = {
  kind: "conformance",
  tools: [],
  quick: true,
  leavesLogs: false,
  timeoutMs: 60_000,
} as const;

export const LANES: readonly Lane[] = [
  {
    ...VECTOR_LANE,
    name: "http1-vectors",
    protocols: ["http1"],
    files: ["tests/conformance/http1_corpora_test.ts"],
  },
  {
    ...VECTOR_LANE,
    name: "sse-vectors",
    protocols: ["sse"],
    files: [
      "tests/conformance/sse_corpus_test.ts",
      "tests/observe/golden_test.ts",
      "tests/observe/property_test.ts",
    ],
  },
  {
    ...VECTOR_LANE,
    name: "msgpack-vectors",
    protocols: ["http1"],
    files: ["tests/conformance/msgpack_corpus_test.ts", "tests/observe/payload/msgpack_test.ts"],
  },
  {
    ...VECTOR_LANE,
    name: "decoder-units",
    protocols: ["http1"],
    files: ["tests/observe", "tests/runtime/inflate_test.ts"],
  },
  {
    ...VECTOR_LANE,
    name: "client-hello-vectors",
    protocols: ["tls"],
    files: ["tests/conformance/client_hello_corpus_test.ts"],
  },
  {
    ...VECTOR_LANE,
    name: "certificate-chains",
    protocols: ["tls"],
    tools: ["openssl"],
    files: ["tests/conformance/openssl_chain_test.ts", "tests/conformance/truststore_test.ts"],
  },
  {
    name: "http1-goldens",
    kind: "unit",
    protocols: ["http1"],
    tools: [],
    files: ["tests/http1"],
    quick: false,
    leavesLogs: false,
    timeoutMs: 120_000,
  },
  {
    name: "simulator",
    kind: "simulation",
    protocols: ["connect", "tunnel", "tls", "http1"],
    tools: [],
    files: ["tests/sim"],
    quick: false,
    leavesLogs: false,
    timeoutMs: 120_000,
  },
  {
    name: "real-sockets",
    kind: "integration",
    protocols: ["connect", "tunnel", "tls", "http1"],
    tools: [],
    files: ["tests/integration"],
    quick: false,
    leavesLogs: false,
    timeoutMs: 120_000,
  },
  {
    ...TOOL_LANE,
    name: "curl",
    protocols: ["connect", "tunnel", "tls", "http1"],
    tools: ["curl"],
    files: ["tests/conformance/tool_curl_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "nginx",
    protocols: ["connect", "tls", "http1", "http2"],
    tools: ["curl", "nginx"],
    files: ["tests/conformance/tool_nginx_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "openssl",
    protocols: ["connect", "tls", "http1"],
    tools: ["openssl"],
    files: ["tests/conformance/tool_openssl_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "tls_taxonomy",
    protocols: ["connect", "tls"],
    tools: ["openssl", "curl", "python", "node", "tlsPeer", "chromium"],
    files: ["tests/conformance/tool_tls_taxonomy_test.ts", "tests/tls/failure_test.ts"],
    quick: false,
    timeoutMs: 300_000,
  },
  {
    ...TOOL_LANE,
    name: "tls_profiles",
    protocols: ["connect", "tls", "http1"],
    tools: ["openssl"],
    files: ["tests/conformance/tool_tls_profiles_test.ts"],
    quick: false,
    timeoutMs: 300_000,
  },
  {
    ...TOOL_LANE,
    name: "testssl",
    protocols: ["tls"],
    tools: ["testssl", "openssl"],
    files: ["tests/conformance/tool_testssl_test.ts"],
    timeoutMs: 300_000,
  },
  {
    ...TOOL_LANE,
    name: "http2",
    protocols: ["connect", "tls", "http2"],
    tools: ["curl", "http2Peer"],
    files: ["tests/conformance/tool_http2_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "nghttp2",
    protocols: ["tls", "http2"],
    tools: ["nghttp", "nghttpd", "h2load", "http2Peer"],
    files: ["tests/conformance/tool_nghttp2_test.ts"],
    timeoutMs: 240_000,
  },
  {
    ...TOOL_LANE,
    name: "h2spec",
    protocols: ["tls", "http2"],
    tools: ["h2spec", "nghttpd", "http2Peer"],
    files: ["tests/conformance/tool_h2spec_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "h2spec-nginx",
    protocols: ["tls", "http2"],
    tools: ["h2spec", "nginx"],
    files: ["tests/conformance/tool_h2spec_nginx_test.ts"],
    quick: false,
    timeoutMs: 400_000,
  },
  {
    ...VECTOR_LANE,
    name: "websocket-vectors",
    protocols: ["websocket"],
    files: ["tests/conformance/autobahn_corpus_test.ts", "tests/observe/websocket"],
  },
  {
    ...TOOL_LANE,
    name: "websocket",
    protocols: ["connect", "tls", "http1", "websocket"],
    tools: [],
    files: ["tests/conformance/tool_websocket_test.ts", "tests/integration/websocket_http2_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "websocket_chromium",
    protocols: ["connect", "tls", "http1", "http2", "websocket"],
    tools: ["chromium", "certutil"],
    files: ["tests/conformance/tool_websocket_chromium_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "sse",
    protocols: ["connect", "tls", "http1", "http2", "sse"],
    tools: ["curl", "chromium", "certutil"],
    files: ["tests/conformance/tool_sse_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "msgpack",
    protocols: ["connect", "tls", "http1", "http2", "msgpack"],
    tools: ["curl", "payloadPeer"],
    files: ["tests/conformance/tool_msgpack_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "decoders",
    protocols: ["connect", "tls", "http1", "http2", "websocket", "sse", "decoders"],
    tools: ["curl", "nginx", "payloadPeer"],
    files: ["tests/conformance/tool_decoders_test.ts"],
    timeoutMs: 240_000,
  },
  {
    ...TOOL_LANE,
    name: "grpc",
    protocols: ["connect", "tls", "http2", "grpc_http2"],
    tools: ["grpcPeer", "grpcurl", "ghz"],
    files: ["tests/conformance/tool_grpc_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "http3_passthrough",
    protocols: ["connect", "tls", "http3"],
    tools: ["http3Peer", "http2Peer", "curl"],
    files: ["tests/conformance/tool_http3_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "http2_attacks",
    protocols: ["connect", "tls", "http2"],
    tools: [],
    files: ["tests/conformance/tool_h2_attacks_test.ts"],
    quick: false,
    timeoutMs: 240_000,
  },
  {
    ...TOOL_LANE,
    name: "chromium",
    protocols: ["connect", "tls", "http1", "http2"],
    tools: ["chromium", "certutil", "http2Peer"],
    files: ["tests/conformance/tool_chromium_test.ts", "tests/conformance/tool_har_chromium_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "mitmproxy",
    protocols: ["connect", "tls"],
    tools: ["mitmdump", "curl"],
    files: ["tests/conformance/tool_mitmproxy_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "exec",
    protocols: ["connect", "tls", "http1"],
    tools: ["curl", "git", "node", "python"],
    files: ["tests/conformance/tool_exec_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "kill",
    protocols: ["connect", "tls", "http1"],
    tools: ["curl"],
    files: ["tests/conformance/tool_kill_test.ts"],
  },
  {
    ...TOOL_LANE,
    name: "descriptors",
    protocols: ["http1"],
    tools: ["curl"],
    files: ["tests/conformance/tool_descriptors_test.ts"],
  },
];
