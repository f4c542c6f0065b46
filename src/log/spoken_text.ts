/** What was said, for a person at a terminal: everything that came from outside is spelled out (`visible.ts`). */
import type { Attributes } from "../core/event.ts";
import { type Choice, type Part, type Spoken, TOKEN_KINDS } from "./spoken.ts";
import { visible } from "./visible.ts";

/** Lines to print below that of the exchange. */
export function spokenLines(spoken: Spoken, { colour }: { readonly colour: boolean }): string[] {
  const paint = (code: string, text: string) => colour ? `\x1b[${code}m${text}\x1b[0m` : text;
  const { choices, error, gaps } = spoken;
  const lines = [paint(DIM, `    ${[...heads(spoken), ...tokenTexts(spoken)].join(", ")}`)];
  for (const choice of choices) {
    if (choices.length > 1) lines.push(paint(DIM, `    ${choiceHead(choice)}`));
    for (const part of choice.parts) {
      const code = part.type === "text" ? null : part.type === "reasoning" ? DIM : CYAN;
      for (const line of partLines(part)) lines.push(`      ${code === null ? line : paint(code, line)}`);
    }
  }
  if (error !== null) lines.push(`    ${paint(RED, `error: ${visible(error)}`)}`);
  if (gaps.length > 0) lines.push(`    ${paint(YELLOW, `cut: ${gaps.map(visible).join("; ")}`)}`);
  return lines;
}

/** The same for programs. */
export function spokenJson({ view, model, choices, tokens, error, gaps }: Spoken): Attributes {
  return {
    view,
    model,
    choices: choices.map(({ key, role, stop, parts }) => ({
      choice: key,
      role,
      stop,
      parts: parts.map((part) =>
        part.type === "tool"
          ? { type: part.type, id: part.id, name: part.name, arguments: part.text }
          : { type: part.type, text: part.text }
      ),
    })),
    tokens,
    error,
    gaps,
  };
}

/** Every text that was said as one, for a search. */
export function spokenTexts({ choices, error }: Spoken): string[] {
  const parts = choices.flatMap(({ parts }) =>
    parts.flatMap((part) => part.type === "tool" ? [part.name ?? "", part.text] : [part.text])
  );
  return error === null ? parts : [...parts, error];
}

const DIM = "2";
const RED = "31";
const YELLOW = "33";
const CYAN = "36";

function heads({ view, model, choices }: Spoken): string[] {
  const [choice] = choices;
  return [
    visible(model ?? view),
    ...(choices.length === 1 && choice !== undefined ? choiceFacts(choice) : []),
  ];
}

function choiceHead(choice: Choice): string {
  return [`choice ${visible(choice.key)}`, ...choiceFacts(choice)].join(", ");
}

function choiceFacts({ role, stop }: Choice): string[] {
  return [...(role === null ? [] : [visible(role)]), ...(stop === null ? [] : [`stop: ${visible(stop)}`])];
}

/** A count that was not stated is not shown. */
function tokenTexts({ tokens }: Spoken): string[] {
  const stated = TOKEN_KINDS.flatMap((kind) => tokens[kind] === null ? [] : [`${tokens[kind]} ${kind}`]);
  return stated.length === 0 ? ["tokens not stated"] : [`tokens: ${stated.join(", ")}`];
}

function partLines(part: Part): string[] {
  if (part.type === "tool") return textLines(`[tool] ${part.name ?? "?"} ${part.text}`.trimEnd());
  return textLines(part.type === "text" ? part.text : `[${part.type}] ${part.text}`);
}

function textLines(text: string): string[] {
  return text.split(/\r?\n/).map((line) => visible(line.replaceAll("\t", "    ")));
}
