/**
 * What the heads of a call say ("gRPC over HTTP2", "gRPC-Web"): whether it is one, of which method, by when, in
 * which encodings. Total: what cannot be read is null.
 */
import { type Field, listElements } from "../../http/fields.ts";
import { fieldValues, type MediaType, mediaTypeOf } from "../../http/media_type.ts";
import type { RequestFacts } from "../../http/message.ts";

/** How messages are carried. */
export interface GrpcType {
  /** `proto`, `json` …; null where it is not said. */
  readonly subtype: string | null;
  /** gRPC-Web: trailers are in the content. */
  readonly web: boolean;
  /** gRPC-Web in base64. */
  readonly text: boolean;
}

const TYPE = /^application\/grpc(-web(-text)?)?(?:\+(.+))?$/;

export function grpcType(mediaType: MediaType | null): GrpcType | null {
  const match = mediaType === null ? null : TYPE.exec(mediaType.essence);
  if (match === null) return null;
  return { subtype: match[3] ?? null, web: match[1] !== undefined, text: match[2] !== undefined };
}

const PLAIN: GrpcType = { subtype: null, web: false, text: false };

/**
 * How a request carries messages, null where it is no call. One without a content-type is a call by its path and
 * by the `te: trailers` that every call over HTTP/2 has.
 */
export function callType(request: RequestFacts): GrpcType | null {
  // Every call is a POST, most requests are none.
  if (request.method !== "POST") return null;
  if (fieldValues(request.fields, "content-type").length > 0) return grpcType(mediaTypeOf(request.fields));
  const expectsTrailers = listElements(fieldValues(request.fields, "te")).includes("trailers");
  return expectsTrailers && METHOD_PATH.test(request.target) ? PLAIN : null;
}

const METHOD_PATH = /^\/(?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_][A-Za-z0-9_]*\/[A-Za-z_][A-Za-z0-9_]*$/;

/** The service is what is before the last slash: servers may put a prefix there. Null where there are no two. */
export function methodOf(
  target: string,
): { readonly service: string | null; readonly method: string | null } {
  // Of a target in absolute-form (RFC 9112 §3.2.2), its path.
  const start = target.startsWith("/") ? 0 : target.indexOf("/", target.indexOf("://") + 3);
  const query = target.indexOf("?");
  const path = target.slice(start, query < 0 ? undefined : query);
  const slash = path.lastIndexOf("/");
  const none = start < 0 || slash < 2 || slash === path.length - 1;
  return none
    ? { service: null, method: null }
    : { service: path.slice(1, slash), method: path.slice(slash + 1) };
}

const UNIT_NS: Readonly<Record<string, number>> = { H: 3600e9, M: 60e9, S: 1e9, m: 1e6, u: 1e3, n: 1 };

/** `grpc-timeout` in nanoseconds; what a number cannot hold to the nanosecond (104 days) is the longest it can. */
export function timeoutNs(value: string): number | null {
  const [, digits, unit] = /^([0-9]{1,8})([HMSmun])$/.exec(value) ?? [];
  if (digits === undefined) return null;
  return Math.min(Number(digits) * UNIT_NS[unit!]!, Number.MAX_SAFE_INTEGER);
}

export function firstValue(fields: readonly Field[], name: string): string | null {
  return fieldValues(fields, name)[0] ?? null;
}

/** The codings to take off messages that are compressed; none for `identity`. */
export function encodingNames(fields: readonly Field[]): string[] {
  return listElements(fieldValues(fields, "grpc-encoding")).filter((name) => name !== "identity");
}
