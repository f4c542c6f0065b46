/**
 * MsgPack as a value of the log, read by msgpackr once `msgpack_scan.ts` has found nothing wrong with it.
 *
 * What JSON has no word for is an object with one of these members: `bin` (binary, base64), `ext` and `data`
 * (an extension: its type, its data in base64; timestamps too), `float` (`NaN`, `Infinity`, `-Infinity`), `map`
 * (pairs, where not all keys are strings). Integers are exact.
 */
import { addExtension, Unpackr } from "msgpackr";
import type { AttributeValue } from "../../core/event.ts";
import { exactInteger } from "../../core/exact_json.ts";
import type { ParsedValue } from "./json.ts";
import { scanMsgPack } from "./msgpack_scan.ts";

/** `guess`: nobody says that it is MsgPack, so only a map with names for keys is taken for it. */
export function parseMsgPack(content: Uint8Array, guess = false): ParsedValue {
  const scan = scanMsgPack(content);
  if (scan.type === "error") return scan;
  if (guess && !scan.isRecord) return { type: "error", detail: "msgpack: no map with names" };
  // Some types mean something to msgpackr, among them regular expressions and record definitions, which it compiles.
  // So all are given as one type of ours, and each gets the type that was there as it is read.
  const renamed = content.slice();
  for (const { typeAt } of scan.extensions) renamed[typeAt] = EXTENSION_TYPE;
  // It takes byte order marks off longer strings, but no other character of three octets.
  for (const start of scan.marked.values()) renamed.set(STAND_IN, start);
  extensionTypes = scan.extensions.map(({ type }) => type).values();
  let value: unknown;
  try {
    value = UNPACKR.unpack(renamed);
  } catch (error) {
    return { type: "error", detail: `msgpack: ${error instanceof Error ? error.message : String(error)}` };
  }
  const converted = new Converter(scan.marked);
  const attribute = converted.attribute(value);
  return converted.pairs === scan.pairs
    ? { type: "value", value: attribute }
    : { type: "error", detail: "msgpack: a map has a key twice" };
}

/** An extension's data, on its way through msgpackr. */
class Extension {
  constructor(readonly type: number, readonly data: Uint8Array) {}
}

const EXTENSION_TYPE = 1;
/** The types of the message under way; msgpackr reads from its beginning to its end. */
let extensionTypes: Iterator<number> = [].values();
addExtension({
  type: EXTENSION_TYPE,
  unpack: (data: Uint8Array) => new Extension(extensionTypes.next().value, data),
});
const UNPACKR = new Unpackr({ mapsAsObjects: false, useRecords: false, int64AsType: "bigint" });

const STAND_IN = new TextEncoder().encode("\ue000");
const BYTE_ORDER_MARK = "\ufeff";

/** Meets the strings in the order of the message, unless a key came twice, which is an error. */
class Converter {
  #strings = 0;
  /** Pairs of maps so far: fewer than there were where a key came twice. */
  pairs = 0;

  constructor(private readonly marked: ReadonlyMap<number, number>) {}

  attribute(value: unknown): AttributeValue {
    switch (typeof value) {
      case "string":
        return this.marked.has(this.#strings++) ? BYTE_ORDER_MARK + value.slice(1) : value;
      case "boolean":
        return value;
      case "bigint":
        return exactInteger(value);
      case "number":
        if (!Number.isFinite(value)) return { float: String(value) };
        return Object.is(value, -0) ? JSON.rawJSON("-0") : value;
    }
    if (value instanceof Map) return this.#map(value);
    if (Array.isArray(value)) return value.map((element) => this.attribute(element));
    if (value instanceof Extension) return { data: value.data.toBase64(), ext: value.type };
    if (value instanceof Uint8Array) return { bin: value.toBase64() };
    return null;
  }

  #map(map: ReadonlyMap<unknown, unknown>): AttributeValue {
    this.pairs += map.size;
    const pairs: [AttributeValue, AttributeValue][] = [];
    for (const [key, value] of map) pairs.push([this.attribute(key), this.attribute(value)]);
    return pairs.every(([key]) => typeof key === "string")
      ? Object.fromEntries(pairs as [string, AttributeValue][])
      : { map: pairs };
  }
}
