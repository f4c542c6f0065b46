/**
 * A recorded request as the arguments of a curl that sends it again. What curl makes itself (`Content-Length`, how
 * the connection is used) is left to it; what it would add that the request had not is taken away.
 */
import type { RecordedRequest } from "./recorded_request.ts";

/** Arguments are strings of octets, as heads are in the log: a character of each is one octet. */
export interface CurlPlan {
  /** Without the program's name. */
  readonly args: readonly CurlArgument[];
  /** What goes to curl's standard input, or to a file; named `CONTENT` among the arguments. */
  readonly content: Uint8Array | null;
  /** What the command leaves out, or does otherwise. */
  readonly notes: readonly string[];
  /** Whether it lacks content of the request. */
  readonly lacking: boolean;
}

/** `CONTENT`: where the content is read from, with `@` before it. */
export type CurlArgument = string | typeof CONTENT;
export const CONTENT = Symbol("content");

/** What stands in the command for content that the log does not have. */
export const CONTENT_FILE = "request-body";

/** Null: curl has no way to send such a request. */
export function planCurl(request: RecordedRequest): CurlPlan | null {
  if (request.method === "CONNECT" || request.isExtendedConnect) return null;
  const notes: string[] = [];
  const { content, inline } = contentOf(request, notes);
  const place = placeOf(request);
  const args: CurlArgument[] = [...versionArgs(request), ...methodArgs(request, content !== null)];
  if (/\/\.\.?(\/|\?|$)/.test(place.url)) args.push("--path-as-is");
  if (/[[\]{}]/.test(place.url.replace(/^[a-z]+:\/\/\[[^\]]*\]/, ""))) args.push("--globoff");
  if (place.requestTarget !== null) args.push("--request-target", place.requestTarget);
  if (place.connectTo !== null) args.push("--connect-to", place.connectTo);
  args.push(place.url);
  for (const header of headerArgs(request, place.host, content, notes)) args.push("-H", header);
  if (request.fields.some(([name]) => name.toLowerCase() === "accept-encoding")) args.push("--compressed");
  if (request.lacking !== null) {
    args.push("--data-binary", `@${CONTENT_FILE}`);
    notes.push(`${request.lacking}: put all of it into a file ${CONTENT_FILE} first`);
  } else if (inline !== null) args.push("--data-raw", inline);
  else if (content !== null) args.push("--data-binary", CONTENT);
  if (request.hasTrailers) notes.push("its trailer fields are left out: curl cannot send any");
  return {
    args,
    content: inline === null && request.lacking === null ? content : null,
    notes,
    lacking: request.lacking !== null,
  };
}

/** The octets of a text that has one in each character, or that is none of a head. */
export function octetsOfText(text: string): Uint8Array {
  for (let index = 0; index < text.length; index++) {
    if (text.charCodeAt(index) > 0xff) return new TextEncoder().encode(text);
  }
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** Longer ones are no argument: an argument of more than 128 KiB is refused by Linux. */
const INLINE_BYTES_MAX = 32 * 1024;

/** `content` is null where there is none; `inline` where it cannot be an argument. */
function contentOf(
  request: RecordedRequest,
  notes: string[],
): { content: Uint8Array | null; inline: string | null } {
  const { content, fields } = request;
  const declared = fields.some(([name]) => /^(content-length|transfer-encoding)$/i.test(name));
  if (content.length === 0 && !declared && request.lacking === null) return { content: null, inline: null };
  if (request.method === "HEAD") notes.push("it is a HEAD with content: curl waits for more than its answer");
  const fits = content.length <= INLINE_BYTES_MAX && !content.includes(0);
  return { content, inline: fits ? latin1(content) : null };
}

function latin1(octets: Uint8Array): string {
  let text = "";
  for (const octet of octets) text += String.fromCharCode(octet);
  return text;
}

function versionArgs({ version, scheme }: RecordedRequest): string[] {
  switch (version) {
    case "HTTP/2":
      return [scheme === "https" ? "--http2" : "--http2-prior-knowledge"];
    case "HTTP/1.0":
      return ["--http1.0"];
    default:
      return ["--http1.1"];
  }
}

function methodArgs({ method }: RecordedRequest, hasContent: boolean): string[] {
  if (method === "HEAD" && !hasContent) return ["--head"];
  return method === (hasContent ? "POST" : "GET") ? [] : ["-X", method];
}

interface Place {
  readonly url: string;
  /** What curl makes the Host field of. */
  readonly host: string;
  /** Where the URL cannot say the target as it was. */
  readonly requestTarget: string | null;
  /** Where the request went to another place than it named. */
  readonly connectTo: string | null;
}

const AUTHORITY = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?$/;
/** A path and query that curl sends as they are. */
const CLEAN_PATH = /^\/[\x21\x22\x24-\x7e]*$/;

function placeOf(request: RecordedRequest): Place {
  const absolute = /^(https?):\/\/([^/?#]*)(.*)$/is.exec(request.target);
  const scheme = absolute?.[1]?.toLowerCase() ?? (request.scheme === "http" ? "http" : "https");
  const named = absolute?.[2] ?? request.authority;
  const target = absolute === null ? request.target : absolute[3] === "" ? "/" : absolute[3]!;
  const server = request.serverHost === null ? null : bracketed(request.serverHost);
  const parts = AUTHORITY.exec(named);
  const usable = parts !== null && Number(parts[2] ?? 0) <= 65535;
  const host = usable ? named : server === null ? "invalid" : `${server}:${request.serverPort}`;
  const clean = CLEAN_PATH.test(target);
  const defaultPort = scheme === "https" ? 443 : 80;
  const goesThere = !usable || server === null ||
    (parts[1]!.toLowerCase() === server && Number(parts[2] ?? defaultPort) === request.serverPort);
  return {
    url: `${scheme}://${host}${clean ? target : "/"}`,
    host: host.replace(new RegExp(`:${defaultPort}$`), ""),
    requestTarget: clean ? null : target,
    connectTo: goesThere ? null : `::${server}:${request.serverPort}`,
  };
}

function bracketed(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** Of the connection or of how content is framed, which is curl's to say. */
const CURLS_OWN = new Set(["content-length", "transfer-encoding", "connection", "keep-alive", "host"]);
const FOR_THE_PROXY = new Set(["proxy-connection", "proxy-authorization"]);
const REDACTED = /^\[redacted [0-9]+ bytes\]$/;
/** From here on curl asks for leave first (RFC 9110 §10.1.1). */
const EXPECT_BYTES = 1024 * 1024;

function headerArgs(
  request: RecordedRequest,
  urlHost: string,
  content: Uint8Array | null,
  notes: string[],
): string[] {
  const { fields } = request;
  const names = new Set(fields.map(([name]) => name.toLowerCase()));
  const isUpgrade = names.has("upgrade") && request.version !== "HTTP/2";
  if (isUpgrade) notes.push("it asks for another protocol; what was said in that is not repeated");
  const headers: string[] = [];
  for (const [name, value] of fields) {
    const lower = name.toLowerCase();
    if (lower === "host" && value !== urlHost && request.version !== "HTTP/2") {
      headers.push(`${name}: ${value}`);
    } else if (lower === "connection" && isUpgrade) headers.push(`${name}: ${value}`);
    else if (CURLS_OWN.has(lower) || FOR_THE_PROXY.has(lower) || name.startsWith(":")) continue;
    // deno-lint-ignore no-control-regex
    else if (name === "" || name.startsWith("@") || /[\x00\r\n]/.test(name + value)) {
      notes.push(`a field that no head can have is left out: ${JSON.stringify(name)}`);
    } else if (REDACTED.test(value)) {
      notes.push(`${name} is left out: the log has no value of it (${value})`);
    } else if (lower === "content-encoding" && request.decoded) {
      notes.push(`${name}: ${value} is left out: the log has the content decompressed`);
    } else headers.push(value === "" ? `${name};` : `${name}: ${value}`);
  }
  for (const name of ["User-Agent", "Accept"]) if (!names.has(name.toLowerCase())) headers.push(`${name}:`);
  const sendsContent = content !== null || request.lacking !== null;
  if (sendsContent && !names.has("content-type")) headers.push("Content-Type:");
  const isLarge = (content?.length ?? 0) >= EXPECT_BYTES || request.lacking !== null;
  if (isLarge && !names.has("expect") && request.version === "HTTP/1.1") headers.push("Expect:");
  return headers;
}
