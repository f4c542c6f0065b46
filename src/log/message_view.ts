/**
 * Views: tables that say where, in the JSON of an API's responses, the parts of a message for people are. The code
 * knows paths, how texts are joined and what parts a message has; what any service calls them is in the tables alone
 * (`fixtures/views`, and files of the user's).
 */
import { breadthOf, type JsonPath, parseJsonPath } from "./json_path.ts";

/** What a rule finds a value for. */
export const TARGETS = [
  "text",
  "reasoning",
  "refusal",
  "tool.name",
  "tool.id",
  "tool.arguments",
  "role",
  "stop",
  "model",
  "error",
  "tokens.input",
  "tokens.output",
  "tokens.reasoning",
  "tokens.cached",
  "tokens.total",
  "end",
] as const;
export type Target = typeof TARGETS[number];

/**
 * What becomes of what was found before, of the same part: `append` it, `replace` it, keep the `first`, or begin a
 * part with `each` value. Where a rule does not say: what is written piece by piece is appended, all else replaced.
 */
export const JOINS = ["append", "replace", "first", "each"] as const;
export type Join = typeof JOINS[number];

/** A rule as it is written. Paths in `when`, `unless`, `choice` and `part` share the `[*]` of `path`, from the left. */
export interface RuleSource {
  readonly as: Target;
  readonly path: string;
  /** Paths and the value, or one of the values, that stands there. */
  readonly when?: Readonly<Record<string, Literal | readonly Literal[]>>;
  readonly unless?: Readonly<Record<string, Literal | readonly Literal[]>>;
  /** Which of several answers to the same request it belongs to; they are told apart by what stands there. */
  readonly choice?: string;
  /** Which part of the answer; without it the places of those `[*]` that `choice` does not have. */
  readonly part?: string | readonly string[];
  readonly join?: Join;
}

type Literal = string | number | boolean | null;

export interface ViewSource {
  readonly name: string;
  /** Globs on the path of the request, as in policy. */
  readonly paths: readonly string[];
  readonly rules: readonly RuleSource[];
}

export interface Rule {
  readonly as: Target;
  readonly path: JsonPath;
  readonly when: readonly Condition[];
  readonly unless: readonly Condition[];
  readonly choice: JsonPath | null;
  readonly choiceBreadth: number;
  /** Null: by place. */
  readonly part: readonly JsonPath[] | null;
  readonly join: Join;
}

export interface Condition {
  readonly path: JsonPath;
  readonly values: readonly Literal[];
}

export interface View {
  readonly name: string;
  readonly paths: readonly string[];
  readonly rules: readonly Rule[];
  /** Whether a rule says how a stream ends. */
  readonly saysEnd: boolean;
}

export interface ViewError {
  readonly type: "error";
  /** Where in the table, and what is wrong. */
  readonly detail: string;
}

const VIEWS_MAX = 100;
const RULES_MAX = 200;

/** `pathFault`: what is wrong with a glob; null: nothing. */
export function parseViews(
  value: unknown,
  pathFault: (glob: string) => string | null,
): readonly View[] | ViewError {
  if (!Array.isArray(value) || value.length > VIEWS_MAX) {
    return error("", `is not a list of at most ${VIEWS_MAX} views`);
  }
  const views: View[] = [];
  for (const [index, source] of value.entries()) {
    const view = parseView(source, `[${index}]`, pathFault);
    if ("type" in view) return view;
    views.push(view);
  }
  return views;
}

function parseView(
  value: unknown,
  place: string,
  pathFault: (glob: string) => string | null,
): View | ViewError {
  if (!isObject(value)) return error(place, "is not an object");
  const unknown = unknownKey(value, ["name", "paths", "rules"]);
  if (unknown !== null) return error(`${place}.${unknown}`, "is unknown; a view has name, paths and rules");
  const { name, paths, rules } = value;
  if (typeof name !== "string" || name === "") return error(`${place}.name`, "is not a name");
  if (!isTexts(paths) || paths.length === 0) return error(`${place}.paths`, "is not a list of globs");
  for (const [index, glob] of paths.entries()) {
    const fault = pathFault(glob);
    if (fault !== null) return error(`${place}.paths[${index}]`, `is not ${fault}`);
  }
  if (!Array.isArray(rules) || rules.length > RULES_MAX) {
    return error(`${place}.rules`, `is not a list of at most ${RULES_MAX} rules`);
  }
  const parsed: Rule[] = [];
  for (const [index, source] of rules.entries()) {
    const rule = parseRule(source, `${place}.rules[${index}]`);
    if ("type" in rule) return rule;
    parsed.push(rule);
  }
  return { name, paths, rules: parsed, saysEnd: parsed.some((rule) => rule.as === "end") };
}

const RULE_KEYS = ["as", "path", "when", "unless", "choice", "part", "join"];

function parseRule(value: unknown, place: string): Rule | ViewError {
  if (!isObject(value)) return error(place, "is not an object");
  const unknown = unknownKey(value, RULE_KEYS);
  if (unknown !== null) return error(`${place}.${unknown}`, `is unknown; a rule has ${RULE_KEYS.join(", ")}`);
  const as = TARGETS.find((target) => target === value["as"]);
  if (as === undefined) return error(`${place}.as`, `is not one of ${TARGETS.join(", ")}`);
  const path = pathOf(value["path"], Infinity);
  if (path === null) return error(`${place}.path`, NO_PATH);
  const breadth = breadthOf(path);
  const when = parseConditions(value["when"], `${place}.when`, breadth);
  if ("type" in when) return when;
  const unless = parseConditions(value["unless"], `${place}.unless`, breadth);
  if ("type" in unless) return unless;
  const choice = value["choice"] === undefined ? null : pathOf(value["choice"], breadth);
  if (choice === null && value["choice"] !== undefined) return error(`${place}.choice`, NO_PATH);
  const part = parseParts(value["part"], breadth);
  if (part === undefined) return error(`${place}.part`, NO_PATH);
  const join = value["join"] === undefined ? defaultJoin(as) : JOINS.find((one) => one === value["join"]);
  if (join === undefined) return error(`${place}.join`, `is not one of ${JOINS.join(", ")}`);
  return {
    as,
    path,
    when,
    unless,
    choice,
    choiceBreadth: choice === null ? 0 : breadthOf(choice),
    part,
    join,
  };
}

const NO_PATH = "is not a path such as choices[*].delta.content, with no more [*] than the rule's path";

function defaultJoin(as: Target): Join {
  return as === "text" || as === "reasoning" || as === "refusal" || as === "tool.arguments"
    ? "append"
    : "replace";
}

function parseParts(value: unknown, breadth: number): readonly JsonPath[] | null | undefined {
  if (value === undefined) return null;
  const texts = typeof value === "string" ? [value] : value;
  if (!isTexts(texts)) return undefined;
  const paths = texts.map((text) => pathOf(text, breadth));
  return paths.every((path) => path !== null) ? paths : undefined;
}

function parseConditions(value: unknown, place: string, breadth: number): readonly Condition[] | ViewError {
  if (value === undefined) return [];
  if (!isObject(value)) return error(place, "is not an object of paths and values");
  const conditions: Condition[] = [];
  for (const [text, expected] of Object.entries(value)) {
    const path = pathOf(text, breadth);
    if (path === null) return error(`${place}[${JSON.stringify(text)}]`, NO_PATH);
    const values: unknown[] = Array.isArray(expected) ? expected : [expected];
    if (!values.every(isLiteral)) {
      return error(`${place}[${JSON.stringify(text)}]`, "is not a value or a list of them");
    }
    conditions.push({ path, values });
  }
  return conditions;
}

function pathOf(value: unknown, breadthMax: number): JsonPath | null {
  const path = typeof value === "string" ? parseJsonPath(value) : null;
  return path === null || breadthOf(path) > breadthMax ? null : path;
}

function isLiteral(value: unknown): value is Literal {
  return value === null || typeof value === "string" || typeof value === "number" ||
    typeof value === "boolean";
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((element) => typeof element === "string");
}

function unknownKey(value: Readonly<Record<string, unknown>>, known: readonly string[]): string | null {
  return Object.keys(value).find((key) => !known.includes(key)) ?? null;
}

function error(place: string, found: string): ViewError {
  return { type: "error", detail: `${place === "" ? "the table" : place} ${found}` };
}
