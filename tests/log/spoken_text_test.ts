import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Spoken } from "../../src/log/spoken.ts";
import { spokenJson, spokenLines, spokenTexts } from "../../src/log/spoken_text.ts";

const SPOKEN: Spoken = {
  view: "Some API",
  model: "small-1",
  choices: [{
    key: "0",
    role: "assistant",
    stop: "stop",
    parts: [
      { type: "reasoning", text: "Hm.\nYes." },
      { type: "text", text: "One\r\n\ttwo\x1b[2J" },
      { type: "tool", id: "c1", name: "add", text: '{"a":1}' },
      { type: "tool", id: null, name: null, text: "" },
    ],
  }],
  tokens: { input: 7, output: 0, reasoning: null, cached: null, total: null },
  error: null,
  gaps: [],
};

Deno.test("spokenLines prints an answer below its exchange, and no count that was not stated", () => {
  assertEquals(spokenLines(SPOKEN, { colour: false }), [
    "    small-1, assistant, stop: stop, tokens: 7 input, 0 output",
    "      [reasoning] Hm.",
    "      Yes.",
    "      One",
    "          two\\x1b[2J",
    '      [tool] add {"a":1}',
    "      [tool] ?",
  ]);
});

Deno.test("spokenLines tells choices apart, and says what went wrong", () => {
  const [choice] = SPOKEN.choices;
  const tokens = { input: null, output: null, reasoning: null, cached: null, total: null };
  const choices = [{ ...choice!, parts: [] }, {
    key: "1",
    role: null,
    stop: null,
    parts: choice!.parts.slice(3),
  }];
  assertEquals(
    spokenLines({ ...SPOKEN, model: null, choices, tokens, error: "no\nroom", gaps: ["a", "b"] }, {
      colour: false,
    }),
    [
      "    Some API, tokens not stated",
      "    choice 0, assistant, stop: stop",
      "    choice 1",
      "      [tool] ?",
      "    error: no\\x0aroom",
      "    cut: a; b",
    ],
  );
});

Deno.test("spokenLines lets nothing through that could steer a terminal, painted or not", () => {
  const hostile = fc.array(fc.integer({ min: 0, max: 0x2fff }), { maxLength: 12 })
    .map((codes) => String.fromCharCode(...codes));
  fc.assert(fc.property(hostile, fc.boolean(), (text, colour) => {
    const lines = spokenLines({
      ...SPOKEN,
      view: text,
      model: text,
      error: text,
      gaps: [text],
      choices: ["0", text].map((key) => ({
        key,
        role: text,
        stop: text,
        parts: [{ type: "text", text }, { type: "tool", id: text, name: text, text }],
      })),
    }, { colour });
    // Only the colours are ours.
    // deno-lint-ignore no-control-regex
    const bare = lines.map((line) => line.replace(/\x1b\[\d+m/g, ""));
    assert(bare.every((line) => !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(line)), JSON.stringify(lines));
  }));
});

Deno.test("spokenJson and spokenTexts have all that was said", () => {
  assertEquals(spokenTexts({ ...SPOKEN, error: "e" }), [
    "Hm.\nYes.",
    "One\r\n\ttwo\x1b[2J",
    "add",
    '{"a":1}',
    "",
    "",
    "e",
  ]);
  assertEquals(spokenJson(SPOKEN), {
    view: "Some API",
    model: "small-1",
    choices: [{
      choice: "0",
      role: "assistant",
      stop: "stop",
      parts: [
        { type: "reasoning", text: "Hm.\nYes." },
        { type: "text", text: "One\r\n\ttwo\x1b[2J" },
        { type: "tool", id: "c1", name: "add", arguments: '{"a":1}' },
        { type: "tool", id: null, name: null, arguments: "" },
      ],
    }],
    tokens: SPOKEN.tokens,
    error: null,
    gaps: [],
  });
});
