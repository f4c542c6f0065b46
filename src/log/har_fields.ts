/** What HAR 1.2 has taken apart: cookies, queries, forms. What is no such thing is left out, nothing is refused. */
import type { Attributes } from "../core/event.ts";
import type { FieldLines } from "./event_attributes.ts";

export function harHeaders(fields: FieldLines): Attributes[] {
  return fields.map(([name, value]) => ({ name, value }));
}

/** The first value of a field; null: there is none. */
export function fieldValue(fields: FieldLines, name: string): string | null {
  return fields.find(([candidate]) => candidate.toLowerCase() === name)?.[1] ?? null;
}

/** RFC 6265 §4.2.1. Of a redacted value nothing is known. */
export function requestCookies(fields: FieldLines): Attributes[] {
  return valuesOf(fields, "cookie").flatMap((value) =>
    value.split(";").flatMap((pair) => {
      const cookie = nameAndValue(pair);
      return cookie === null ? [] : [{ name: cookie[0], value: cookie[1] }];
    })
  );
}

/** RFC 6265 §4.1.1. `isoTime`: a date of a field as an ISO time, null where it is none. */
export function responseCookies(
  fields: FieldLines,
  isoTime: (date: string) => string | null,
): Attributes[] {
  return valuesOf(fields, "set-cookie").flatMap((line) => {
    const [first = "", ...attributes] = line.split(";");
    const cookie = nameAndValue(first);
    if (cookie === null) return [];
    const parsed: Record<string, string | boolean> = { name: cookie[0], value: cookie[1] };
    for (const attribute of attributes) {
      const [name = "", value = ""] = nameAndValue(attribute) ?? [attribute.trim()];
      switch (name.toLowerCase()) {
        case "path":
        case "domain":
          parsed[name.toLowerCase()] = value;
          break;
        case "expires": {
          const time = isoTime(value);
          if (time !== null) parsed["expires"] = time;
          break;
        }
        case "httponly":
          parsed["httpOnly"] = true;
          break;
        case "secure":
          parsed["secure"] = true;
          break;
        case "samesite":
          parsed["sameSite"] = value;
          break;
        default:
          break;
      }
    }
    return [parsed];
  });
}

export function queryOf(url: string): Attributes[] {
  const query = url.indexOf("?");
  const fragment = url.indexOf("#");
  if (query < 0) return [];
  return formPairs(url.slice(query + 1, fragment > query ? fragment : undefined));
}

/** `application/x-www-form-urlencoded`, as URLs have it, too. */
export function formPairs(text: string): Attributes[] {
  return text.split("&").filter((pair) => pair !== "").map((pair) => {
    const equals = pair.indexOf("=");
    return {
      name: decoded(equals < 0 ? pair : pair.slice(0, equals)),
      value: equals < 0 ? "" : decoded(pair.slice(equals + 1)),
    };
  });
}

function decoded(text: string): string {
  const spaced = text.replaceAll("+", " ");
  try {
    return decodeURIComponent(spaced);
  } catch {
    return spaced;
  }
}

const REDACTED = /^\[redacted [0-9]+ bytes\]$/;

function valuesOf(fields: FieldLines, name: string): string[] {
  return fields.flatMap(([candidate, value]) =>
    candidate.toLowerCase() === name && !REDACTED.test(value) ? [value] : []
  );
}

function nameAndValue(pair: string): [name: string, value: string] | null {
  const equals = pair.indexOf("=");
  if (equals < 0) return null;
  const name = pair.slice(0, equals).trim();
  return name === "" ? null : [name, pair.slice(equals + 1).trim()];
}
