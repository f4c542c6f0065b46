/**
 * What was said in the responses of a log, piece by piece or at once, joined into messages by the rules of a view.
 * Follows the generic events; keeps the message of each open exchange, up to a limit.
 */
import type { LoggedEvent } from "../core/event.ts";
import { numberOf, textOf } from "./event_attributes.ts";
import { findAll, findAt, type Found } from "./json_path.ts";
import type { Condition, Rule, Target, View } from "./message_view.ts";

/** The answer to one request. Texts are as a peer sent them. */
export interface Spoken {
  readonly view: string;
  readonly model: string | null;
  readonly choices: readonly Choice[];
  /** As the response states them; null: it does not. */
  readonly tokens: Tokens;
  readonly error: string | null;
  /** Why this is not all that was said, or perhaps not; empty: it is all. */
  readonly gaps: readonly string[];
}

export interface Choice {
  /** As the response calls it; empty where it has one answer alone. */
  readonly key: string;
  readonly role: string | null;
  readonly stop: string | null;
  readonly parts: readonly Part[];
}

export type Part =
  | { readonly type: "text" | "reasoning" | "refusal"; readonly text: string }
  | {
    readonly type: "tool";
    readonly id: string | null;
    readonly name: string | null;
    readonly text: string;
  };

export type Tokens = Readonly<Record<TokenKind, number | null>>;
export const TOKEN_KINDS = ["input", "output", "reasoning", "cached", "total"] as const;
export type TokenKind = typeof TOKEN_KINDS[number];

/** How many characters are kept of one answer, in how many parts of how many choices. */
export const SPOKEN_CHARACTERS_MAX = 4 * 1024 * 1024;
export const PARTS_MAX = 1024;

export class SpokenMessages {
  readonly #viewOf: (target: string) => View | null;
  readonly #flows = new Map<string, Map<number, Answer>>();

  /** `viewOf`: the view of the responses to a request for this target. */
  constructor(viewOf: (target: string) => View | null) {
    this.#viewOf = viewOf;
  }

  event(event: LoggedEvent): void {
    const { attributes, kind } = event;
    if (kind === "stream_closed") {
      this.#flows.delete(event.flow_id);
      return;
    }
    const id = numberOf(attributes["exchange_id"]);
    if (kind === "request_headers") {
      const view = this.#viewOf(textOf(attributes["target"]));
      if (view !== null) this.#open(event.flow_id, id, new Answer(view));
      return;
    }
    const answer = this.#flows.get(event.flow_id)?.get(id);
    if (answer === undefined) return;
    if (kind === "exchange_completed") answer.outcome = textOf(attributes["outcome"]);
    else if (attributes["direction"] === "response") answer.event(event);
  }

  /** What was said in an exchange, which is then forgotten; null: nothing that a view knows. */
  take(flowId: string, exchangeId: number): Spoken | null {
    const answers = this.#flows.get(flowId);
    const answer = answers?.get(exchangeId) ?? null;
    answers?.delete(exchangeId);
    return answer === null ? null : answer.spoken();
  }

  /** The log was opened again: what was open is gone. */
  clear(): void {
    this.#flows.clear();
  }

  #open(flowId: string, id: number, answer: Answer): void {
    let answers = this.#flows.get(flowId);
    if (answers === undefined) {
      answers = new Map();
      this.#flows.set(flowId, answers);
    }
    answers.set(id, answer);
  }
}

interface OpenChoice {
  role: string | null;
  stop: string | null;
  readonly parts: OpenPart[];
  /** By type and key; a part that `each` value begins takes the place of the one before. */
  readonly byKey: Map<string, OpenPart>;
}

interface OpenPart {
  readonly type: Part["type"];
  name: string | null;
  id: string | null;
  text: string;
}

class Answer {
  outcome: string | null = null;
  readonly #view: View;
  #model: string | null = null;
  #error: string | null = null;
  readonly #tokens: Record<TokenKind, number | null> = {
    input: null,
    output: null,
    reasoning: null,
    cached: null,
    total: null,
  };
  readonly #choices = new Map<string, OpenChoice>();
  #characters = 0;
  #parts = 0;
  #full = false;
  #streamed = false;
  #ended = false;
  #cutUnits = 0;
  #payloadBytes: number | null = null;

  constructor(view: View) {
    this.#view = view;
  }

  event({ kind, attributes }: LoggedEvent): void {
    if (kind === "sse_event" || kind === "ndjson_line") {
      this.#streamed = true;
      const isCut = attributes["truncated"] === true || attributes["complete"] === false;
      const data = attributes["data"];
      if (isCut) this.#cutUnits++;
      if (typeof data === "string") this.#unit(parsedOrText(data));
    } else if (kind === "payload_decoded" && attributes["index"] === undefined) {
      // That of a unit says what the unit's own event says.
      const { value } = attributes;
      if (value === undefined) this.#payloadBytes = numberOf(attributes["bytes"]);
      // A stream may also be one long array.
      else if (Array.isArray(value)) value.forEach((element) => this.#unit(element));
      else this.#unit(value);
    } else if (kind === "observer_stopped") this.#cutUnits++;
  }

  spoken(): Spoken | null {
    const said = this.#choices.size > 0 || this.#error !== null || this.#model !== null ||
      this.#payloadBytes !== null || this.#streamed;
    if (!said) return null;
    return {
      view: this.#view.name,
      model: this.#model,
      choices: [...this.#choices].map(([key, { role, stop, parts }]) => ({
        key,
        role,
        stop,
        parts: parts.map(({ type, name, id, text }) =>
          type === "tool" ? { type, name, id, text } : { type, text }
        ),
      })),
      tokens: this.#tokens,
      error: this.#error,
      gaps: this.#gaps(),
    };
  }

  #gaps(): string[] {
    const gaps: string[] = [];
    if (this.outcome === null) gaps.push("the log has no end of it");
    else if (this.outcome !== "complete") gaps.push(this.outcome);
    if (this.#streamed && this.#view.saysEnd && !this.#ended) {
      gaps.push("the stream does not say that it is over");
    }
    if (this.#cutUnits > 0) gaps.push(`recorded in part: ${this.#cutUnits} of its events`);
    if (this.#payloadBytes !== null) gaps.push(`its ${this.#payloadBytes} bytes were not decoded`);
    if (this.#full) gaps.push("what is longer is not shown");
    return gaps;
  }

  #unit(unit: unknown): void {
    for (const rule of this.#view.rules) {
      for (const found of findAll(unit, rule.path)) {
        if (found.value === null || !fits(rule, unit, found)) continue;
        this.#apply(rule, unit, found);
      }
    }
  }

  #apply(rule: Rule, unit: unknown, found: Found): void {
    const { value } = found;
    switch (rule.as) {
      case "model":
        this.#model = replaced(rule, this.#model, value);
        break;
      case "error":
        this.#error = replaced(rule, this.#error, value);
        break;
      case "end":
        this.#ended = true;
        break;
      case "tokens.input":
      case "tokens.output":
      case "tokens.reasoning":
      case "tokens.cached":
      case "tokens.total":
        // Nobody counts below nothing, nor in halves: what says so says nothing.
        if (isCount(value)) this.#tokens[rule.as.slice("tokens.".length) as TokenKind] = value;
        break;
      case "role":
      case "stop": {
        const choice = this.#choice(rule, unit, found);
        if (choice !== null) choice[rule.as] = replaced(rule, choice[rule.as], value);
        break;
      }
      case "text":
      case "reasoning":
      case "refusal":
      case "tool.name":
      case "tool.id":
      case "tool.arguments":
        this.#say(rule, rule.as, unit, found);
    }
  }

  #say(rule: Rule, as: SaidTarget, unit: unknown, found: Found): void {
    const said = saidText(as, found.value);
    // An empty piece says nothing, and would be a part of its own.
    if (said === null || (said === "" && as !== "tool.name")) return;
    const choice = this.#choice(rule, unit, found);
    if (choice === null) return;
    const part = this.#part(rule, as, choice, partKey(rule, unit, found));
    if (part === null) return;
    if (as === "tool.name") part.name = rule.join === "append" ? (part.name ?? "") + said : said;
    else if (as === "tool.id") part.id = said;
    else if (rule.join === "replace") part.text = this.#fitting(said);
    else if (rule.join !== "first" || part.text === "") part.text += this.#fitting(said);
  }

  #choice(rule: Rule, unit: unknown, found: Found): OpenChoice | null {
    const named = rule.choice === null ? undefined : findAt(unit, rule.choice, found.places);
    // Without a name of its own an answer is called by its place, as most are.
    const key = rule.choice === null
      ? ""
      : named === undefined
      ? String(found.places[rule.choiceBreadth - 1] ?? 0)
      : keyText(named);
    let choice = this.#choices.get(key);
    if (choice === undefined) {
      if (this.#choices.size === PARTS_MAX) {
        this.#full = true;
        return null;
      }
      choice = { role: null, stop: null, parts: [], byKey: new Map() };
      this.#choices.set(key, choice);
    }
    return choice;
  }

  #part(rule: Rule, as: SaidTarget, choice: OpenChoice, key: string): OpenPart | null {
    const type = as === "text" || as === "reasoning" || as === "refusal" ? as : "tool";
    const place = `${type} ${key}`;
    const known = choice.byKey.get(place);
    if (known !== undefined && rule.join !== "each") return known;
    if (this.#parts === PARTS_MAX) {
      this.#full = true;
      return null;
    }
    this.#parts++;
    const part: OpenPart = { type, name: null, id: null, text: "" };
    choice.parts.push(part);
    choice.byKey.set(place, part);
    return part;
  }

  #fitting(text: string): string {
    const fitting = text.slice(0, Math.max(0, SPOKEN_CHARACTERS_MAX - this.#characters));
    this.#characters += fitting.length;
    if (fitting.length < text.length) this.#full = true;
    return fitting;
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

type SaidTarget = Extract<Target, "text" | "reasoning" | "refusal" | `tool.${string}`>;

function fits(rule: Rule, unit: unknown, { places }: Found): boolean {
  const holds = ({ path, values }: Condition) => {
    const value = findAt(unit, path, places);
    return values.some((expected) => expected === value);
  };
  return rule.when.every(holds) && !rule.unless.some(holds);
}

function replaced(rule: Rule, before: string | null, value: unknown): string | null {
  if (before !== null && rule.join === "first") return before;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text === "" ? before : text.slice(0, NAME_CHARACTERS_MAX);
}

const NAME_CHARACTERS_MAX = 4096;

/** Arguments may come as a value; anything else that is no text says nothing. */
function saidText(as: SaidTarget, value: unknown): string | null {
  if (typeof value === "string") {
    return as === "tool.name" || as === "tool.id" ? value.slice(0, NAME_CHARACTERS_MAX) : value;
  }
  return as === "tool.arguments" ? JSON.stringify(value) ?? null : null;
}

function partKey(rule: Rule, unit: unknown, { places }: Found): string {
  if (rule.part === null) return places.slice(rule.choiceBreadth).join(".");
  return rule.part.map((path) => keyText(findAt(unit, path, places))).join(".");
}

function keyText(value: unknown): string {
  const text = typeof value === "string" ? value : typeof value === "number" ? String(value) : "";
  return text.slice(0, 100);
}

/** What is no JSON stands for itself: marks such as `[DONE]`. */
function parsedOrText(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}
