/**
 * The observers, in the order in which they are asked: the first that knows a message gets it. To add one,
 * write it, name it here before the one for all that is left, and give it a fixture; the tests and the simulator
 * find it by this list.
 */
import { GRPC } from "./grpc/observer.ts";
import { MULTIPART } from "./multipart.ts";
import { NDJSON } from "./ndjson.ts";
import type { ObserverDefinition, StreamObserverDefinition } from "./observer.ts";
import { PAYLOAD } from "./payload/observer.ts";
import { SSE } from "./sse.ts";
import { WEBSOCKET } from "./websocket/websocket.ts";

export const OBSERVERS: readonly ObserverDefinition[] = [GRPC, NDJSON, SSE, MULTIPART, PAYLOAD];

/** Those of streams that carry another protocol than HTTP, likewise. */
export const STREAM_OBSERVERS: readonly StreamObserverDefinition[] = [WEBSOCKET];
