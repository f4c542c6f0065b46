/** Attributes of events of a log that nobody verified: whatever is not of its type reads as nothing. */
import type { AttributeValue, LoggedEvent } from "../core/event.ts";

export function textOf(value: AttributeValue | undefined): string {
  return typeof value === "string" ? value : "";
}

export function numberOf(value: AttributeValue | undefined): number {
  return optionalNumber(value) ?? 0;
}

export function optionalNumber(value: AttributeValue | undefined): number | null {
  // All that the log counts are integers; JSON can also say what is no finite number at all.
  return typeof value === "number" && Number.isInteger(value) ? value : null;
}

export type FieldLines = readonly (readonly [name: string, value: string])[];

/** What is no pair of texts is left out. */
export function fieldLinesOf(value: AttributeValue | undefined): FieldLines {
  if (!Array.isArray(value)) return [];
  return value.flatMap((line: AttributeValue): FieldLines => {
    if (!Array.isArray(line)) return [];
    const [name, content] = line as readonly AttributeValue[];
    return typeof name === "string" && typeof content === "string" ? [[name, content]] : [];
  });
}

/** The captured octets of an event; null where it has none. */
export function octetsOf({ attributes }: Pick<LoggedEvent, "attributes">): Uint8Array | null {
  const base64 = attributes["data_base64"];
  if (typeof base64 === "string") {
    try {
      return Uint8Array.fromBase64(base64);
    } catch {
      return null;
    }
  }
  const data = attributes["data"];
  return typeof data === "string" ? encoder.encode(data) : null;
}

/** `https://host/path`; the target as it is where that is absolute, or an authority. */
export function urlOf(attributes: LoggedEvent["attributes"]): string {
  const target = textOf(attributes["target"]);
  const relative = target.startsWith("/") || target === "*";
  return relative ? `${textOf(attributes["scheme"])}://${textOf(attributes["authority"])}${target}` : target;
}

/** `host:port`, an IPv6 address in brackets; a hyphen where it is not known. */
export function serverOf({ server_host: host, server_port: port }: LoggedEvent): string {
  return host === null ? "-" : host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

const encoder = new TextEncoder();
