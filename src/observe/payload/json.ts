/**
 * JSON (RFC 8259) as a value of the log: no digit is lost (`core/exact_json.ts`), nesting is bounded. It is whatever
 * `JSON.parse` takes; of members with one name the last counts, as there.
 */
import type { AttributeValue } from "../../core/event.ts";
import { parseExact } from "../../core/exact_json.ts";

export type ParsedValue =
  | { readonly type: "value"; readonly value: AttributeValue }
  | { readonly type: "error"; readonly detail: string };

/** Arrays and objects within each other. The log's own encoder is recursive, as are those of its readers. */
export const JSON_DEPTH_MAX = 100;

export function parseJson(text: string): ParsedValue {
  let value: AttributeValue;
  try {
    value = parseExact(text) as AttributeValue;
  } catch (error) {
    // How deep it may go before that depends on who calls.
    if (error instanceof RangeError) return TOO_DEEP;
    return { type: "error", detail: `json: ${error instanceof Error ? error.message : String(error)}` };
  }
  return isDeeper(value, JSON_DEPTH_MAX) ? TOO_DEEP : { type: "value", value };
}

const TOO_DEEP: ParsedValue = { type: "error", detail: `json: nested deeper than ${JSON_DEPTH_MAX}` };

function isDeeper(value: AttributeValue, depthMax: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (depthMax === 0) return true;
  if (Array.isArray(value)) {
    for (const element of value) {
      if (typeof element === "object" && isDeeper(element, depthMax - 1)) return true;
    }
    return false;
  }
  if (JSON.isRawJSON(value)) return false;
  const object = value as Readonly<Record<string, AttributeValue>>;
  for (const name in object) {
    const member = object[name]!;
    if (typeof member === "object" && isDeeper(member, depthMax - 1)) return true;
  }
  return false;
}
