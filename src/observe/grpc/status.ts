/** How a call ended: status codes and the fields that carry them ("gRPC over HTTP2", Responses). Total. */
import type { Field } from "../../http/fields.ts";
import { latin1Bytes, readLatin1 } from "../../core/latin1.ts";

const STATUS_NAMES = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** Null for a code that gRPC does not have. */
export function statusName(code: number): string | null {
  return STATUS_NAMES[code] ?? null;
}

/** A code as the fields have it; null where it is no number. */
export function readStatus(value: string): number | null {
  return /^[0-9]{1,10}$/.test(value) ? Number(value) : null;
}

/** What clients take a response without grpc-status for ("HTTP to gRPC Status Code Mapping"). */
export function impliedStatus(httpStatus: number): number {
  switch (httpStatus) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const PERCENT = 0x25;

/** Takes the percent-encoding of `grpc-message` off; what is no escape stays as it is. */
export function decodeMessage(value: string): string {
  const octets = latin1Bytes(value);
  let length = 0;
  for (let at = 0; at < octets.length; at++) {
    const high = octets[at] === PERCENT ? hexValue(octets[at + 1]) : -1;
    const low = high < 0 ? -1 : hexValue(octets[at + 2]);
    if (low < 0) octets[length++] = octets[at]!;
    else {
      octets[length++] = high * 16 + low;
      at += 2;
    }
  }
  return utf8.decode(octets.subarray(0, length));
}

function hexValue(octet: number | undefined): number {
  if (octet === undefined) return -1;
  if (octet >= 0x30 && octet <= 0x39) return octet - 0x30;
  const letter = octet | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** The octets in a `-bin` field, whose base64 may be padded or not; null where it is none. */
export function binaryBytes(value: string): number | null {
  const text = /^([A-Za-z0-9+/]*)={0,2}$/.exec(value)?.[1];
  if (text === undefined || text.length % 4 === 1) return null;
  return Math.floor(text.length * 3 / 4);
}

/** The trailers in the content of gRPC-Web: field lines as in HTTP/1.1. What has no colon is no field. */
export function readTrailers(block: Uint8Array): Field[] {
  const fields: Field[] = [];
  for (const line of readLatin1(block, 0, block.length).split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.push([line.slice(0, colon), withoutSpace(line.slice(colon + 1))]);
  }
  return fields;
}

/** Without CR at the end and white space around it, which `trim()` would take NBSP for, too. */
function withoutSpace(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && " \t".includes(text[start]!)) start++;
  while (end > start && " \t\r".includes(text[end - 1]!)) end--;
  return text.slice(start, end);
}
