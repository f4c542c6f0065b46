/** What the built-in views make of streams as the services' documentation describes them; all are written here. */
import { assertEquals } from "@std/assert";
import { BUILTIN_VIEWS } from "../../support/llm_views.ts";
import { flatten, type Said, said } from "../../log/spoken_builder.ts";

const NONE = { input: null, output: null, reasoning: null, cached: null, total: null };

function viewNamed(name: string) {
  const view = BUILTIN_VIEWS.find((view) => view.name === name);
  if (view === undefined) throw new Error(`there is no view ${name}`);
  return view;
}

function of(
  name: string,
  units: readonly unknown[],
  how: "sse_event" | "ndjson_line" | "payload" = "sse_event",
): Said {
  const spoken = said(viewNamed(name), units, how);
  if (spoken === null) throw new Error("nothing was said");
  return flatten(spoken);
}

const chat = (choices: unknown[], more: Record<string, unknown> = {}) => ({
  id: "c1",
  object: "chat.completion.chunk",
  model: "small-1",
  choices,
  ...more,
});
const delta = (index: number, delta: unknown, finish_reason: string | null = null) => ({
  index,
  delta,
  finish_reason,
});

Deno.test("chat completions: choices side by side, reasoning, calls whose pieces are interleaved, usage at the end", () => {
  const call = (index: number, piece: unknown) =>
    chat([delta(0, { tool_calls: [{ index, ...piece as object }] })]);
  assertEquals(
    of("OpenAI chat completions", [
      chat([delta(0, { role: "assistant", content: "" })]),
      chat([delta(1, { role: "assistant", content: "Or " })]),
      chat([delta(0, { reasoning_content: "Rain?" })], { usage: null }),
      chat([delta(0, { content: "Let me" }), delta(1, { content: "nothing." })]),
      chat([delta(0, { content: " look." })]),
      call(0, { id: "call_a", type: "function", function: { name: "weather", arguments: "" } }),
      call(1, { id: "call_b", type: "function", function: { name: "time", arguments: "" } }),
      call(0, { function: { arguments: '{"city":' } }),
      call(1, { function: { arguments: '{"zone":"' } }),
      call(0, { function: { arguments: '"Oslo"}' } }),
      call(1, { function: { arguments: 'CET"}' } }),
      chat([delta(0, {}, "tool_calls")]),
      chat([delta(1, {}, "stop")]),
      chat([], {
        usage: {
          prompt_tokens: 31,
          completion_tokens: 17,
          total_tokens: 48,
          completion_tokens_details: { reasoning_tokens: 0 },
        },
      }),
      "[DONE]",
    ]),
    {
      model: "small-1",
      choices: {
        "0": [
          "assistant",
          "tool_calls",
          "reasoning: Rain?",
          "text: Let me look.",
          'tool: weather call_a {"city":"Oslo"}',
          'tool: time call_b {"zone":"CET"}',
        ],
        "1": ["assistant", "stop", "text: Or nothing."],
      },
      tokens: { ...NONE, input: 31, output: 17, reasoning: 0, total: 48 },
      error: null,
      gaps: [],
    },
  );
});

Deno.test("chat completions: a stream that is cut shows what arrived, and no count that it did not state", () => {
  assertEquals(
    of("OpenAI chat completions", [chat([delta(0, { role: "assistant", content: "Half a sen" })])]),
    {
      model: "small-1",
      choices: { "0": ["assistant", null, "text: Half a sen"] },
      tokens: NONE,
      error: null,
      gaps: ["the stream does not say that it is over"],
    },
  );
});

Deno.test("chat completions: an answer at once, and an error", () => {
  const message = { role: "assistant", content: "Four.", tool_calls: null, refusal: null };
  const answer = { ...chat([{ index: 0, message, finish_reason: "stop" }]), usage: { prompt_tokens: 9 } };
  assertEquals(of("OpenAI chat completions", [answer], "payload"), {
    model: "small-1",
    choices: { "0": ["assistant", "stop", "text: Four."] },
    tokens: { ...NONE, input: 9 },
    error: null,
    gaps: [],
  });
  assertEquals(
    of("OpenAI chat completions", [{ error: { message: "slow down" } }], "payload").error,
    "slow down",
  );
});

Deno.test("responses: reasoning, text and a call by their places in the output, the rest at its completion", () => {
  const on = (type: string, more: object) => ({ type: `response.${type}`, ...more });
  assertEquals(
    of("OpenAI responses", [
      on("created", { response: { model: "big-2", status: "in_progress", usage: null, error: null } }),
      on("output_item.added", { output_index: 0, item: { type: "reasoning", id: "r1" } }),
      on("reasoning_summary_text.delta", { output_index: 0, summary_index: 0, delta: "**Adding** " }),
      on("reasoning_summary_text.delta", { output_index: 0, summary_index: 0, delta: "up" }),
      on("output_item.added", { output_index: 1, item: { type: "message", role: "assistant", content: [] } }),
      on("output_text.delta", { output_index: 1, content_index: 0, delta: "The sum" }),
      on("output_item.added", {
        output_index: 2,
        item: { type: "function_call", call_id: "c9", name: "add", arguments: "" },
      }),
      on("function_call_arguments.delta", { output_index: 2, delta: '{"a":' }),
      on("output_text.delta", { output_index: 1, content_index: 0, delta: " is…" }),
      on("function_call_arguments.delta", { output_index: 2, delta: "1}" }),
      on("function_call_arguments.done", { output_index: 2, arguments: '{"a":1}' }),
      on("completed", {
        response: {
          model: "big-2",
          status: "completed",
          incomplete_details: null,
          usage: {
            input_tokens: 5,
            output_tokens: 6,
            output_tokens_details: { reasoning_tokens: 4 },
            total_tokens: 11,
          },
        },
      }),
    ]),
    {
      model: "big-2",
      choices: {
        "": [
          "assistant",
          "completed",
          "reasoning: **Adding** up",
          "text: The sum is…",
          'tool: add c9 {"a":1}',
        ],
      },
      tokens: { ...NONE, input: 5, output: 6, reasoning: 4, total: 11 },
      error: null,
      gaps: [],
    },
  );
  const incomplete = on("incomplete", { response: { incomplete_details: { reason: "max_output_tokens" } } });
  const text = on("output_text.delta", { output_index: 0, content_index: 0, delta: "x" });
  assertEquals(of("OpenAI responses", [text, incomplete]).choices, {
    "": [null, "max_output_tokens", "text: x"],
  });
});

Deno.test("responses: an answer at once", () => {
  const answer = {
    object: "response",
    model: "big-2",
    status: "completed",
    error: null,
    output: [
      { type: "reasoning", summary: [{ type: "summary_text", text: "Hm." }] },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "Hi." }] },
      { type: "function_call", call_id: "c", name: "f", arguments: "{}" },
    ],
  };
  assertEquals(of("OpenAI responses", [answer], "payload").choices, {
    "": ["assistant", "completed", "reasoning: Hm.", "text: Hi.", "tool: f c {}"],
  });
});

Deno.test("messages: blocks by their index, thinking, a tool's input in pieces, counts of the end alone", () => {
  const start = {
    type: "message_start",
    message: {
      role: "assistant",
      model: "lyric-3",
      content: [],
      stop_reason: null,
      usage: { input_tokens: 25, output_tokens: 1 },
    },
  };
  const block = (index: number, content_block: unknown) => ({
    type: "content_block_start",
    index,
    content_block,
  });
  const piece = (index: number, delta: unknown) => ({ type: "content_block_delta", index, delta });
  const stream = [
    start,
    block(0, { type: "thinking", thinking: "" }),
    { type: "ping" },
    piece(0, { type: "thinking_delta", thinking: "A poem, " }),
    piece(0, { type: "thinking_delta", thinking: "then." }),
    piece(0, { type: "signature_delta", signature: "c2ln" }),
    block(1, { type: "text", text: "" }),
    piece(1, { type: "text_delta", text: "Roses\n" }),
    piece(1, { type: "text_delta", text: "are red" }),
    block(2, { type: "tool_use", id: "t1", name: "rhyme", input: {} }),
    piece(2, { type: "input_json_delta", partial_json: "" }),
    piece(2, { type: "input_json_delta", partial_json: '{"with": "re' }),
    piece(2, { type: "input_json_delta", partial_json: 'd"}' }),
    { type: "message_delta", delta: { stop_reason: "tool_use" }, usage: { output_tokens: 42 } },
    { type: "message_stop" },
  ];
  const parts = ["reasoning: A poem, then.", "text: Roses\nare red", 'tool: rhyme t1 {"with": "red"}'];
  assertEquals(of("Anthropic messages", stream), {
    model: "lyric-3",
    choices: { "": ["assistant", "tool_use", ...parts] },
    tokens: { ...NONE, input: 25, output: 42 },
    error: null,
    gaps: [],
  });
  const cut = of("Anthropic messages", stream.slice(0, -4));
  assertEquals(cut.tokens, { ...NONE, input: 25 });
  assertEquals(cut.gaps, ["the stream does not say that it is over"]);
  assertEquals(cut.choices[""]?.at(-1), "tool: rhyme t1 ");
  const broken = of("Anthropic messages", [start, {
    type: "error",
    error: { type: "overloaded_error", message: "Busy" },
  }]);
  assertEquals([broken.error, broken.gaps], ["Busy", []]);
});

Deno.test("messages: an answer at once", () => {
  const answer = {
    type: "message",
    role: "assistant",
    model: "lyric-3",
    content: [{ type: "text", text: "Sure." }, { type: "tool_use", id: "t", name: "f", input: { a: [1] } }],
    stop_reason: "tool_use",
    usage: { input_tokens: 1, output_tokens: 2, cache_read_input_tokens: 0 },
  };
  assertEquals(of("Anthropic messages", [answer], "payload"), {
    model: "lyric-3",
    choices: { "": ["assistant", "tool_use", "text: Sure.", 'tool: f t {"a":[1]}'] },
    tokens: { ...NONE, input: 1, output: 2, cached: 0 },
    error: null,
    gaps: [],
  });
});

Deno.test("generateContent: thoughts, texts and whole calls in parts; a call in each event is one of its own", () => {
  const event = (parts: unknown[], more: object = {}, top: object = {}) => ({
    candidates: [{ content: { role: "model", parts }, ...more }],
    modelVersion: "gem-4",
    ...top,
  });
  const stream = [
    event([{ text: "Thinking…", thought: true }]),
    event([{ text: "It is " }], {}, { usageMetadata: { promptTokenCount: 4 } }),
    event([{ text: "sunny." }, { functionCall: { name: "pack", args: { what: "hat" } } }]),
    event([{ text: "" }, { functionCall: { name: "pack", args: {} } }], { finishReason: "STOP", index: 0 }, {
      usageMetadata: {
        promptTokenCount: 4,
        candidatesTokenCount: 9,
        thoughtsTokenCount: 3,
        totalTokenCount: 16,
      },
    }),
  ];
  const expected: Said = {
    model: "gem-4",
    choices: {
      "0": [
        "model",
        "STOP",
        "reasoning: Thinking…",
        "text: It is sunny.",
        'tool: pack null {"what":"hat"}',
        "tool: pack null {}",
      ],
    },
    tokens: { input: 4, output: 9, reasoning: 3, cached: null, total: 16 },
    error: null,
    gaps: [],
  };
  assertEquals(of("Gemini generateContent", stream), expected);
  assertEquals(of("Gemini generateContent", [stream], "payload"), expected, "as one array");
});

Deno.test("Cohere chat: a plan, calls and text by their index", () => {
  const message = (type: string, message: object, more: object = {}) => ({
    type,
    delta: { message },
    ...more,
  });
  const calls = (tool_calls: object, index: number) => message("tool-call-delta", { tool_calls }, { index });
  assertEquals(
    of("Cohere chat", [
      message("message-start", { role: "assistant", content: [], tool_calls: [] }),
      message("tool-plan-delta", { tool_plan: "I will " }),
      message("tool-plan-delta", { tool_plan: "ask." }),
      message("tool-call-start", { tool_calls: { id: "q", function: { name: "ask", arguments: "" } } }, {
        index: 0,
      }),
      calls({ function: { arguments: '{"q":' } }, 0),
      calls({ function: { arguments: "1}" } }, 0),
      message("content-start", { content: { type: "text", text: "" } }, { index: 1 }),
      message("content-delta", { content: { text: "Asked." } }, { index: 1 }),
      {
        type: "message-end",
        delta: { finish_reason: "TOOL_CALL", usage: { tokens: { input_tokens: 7, output_tokens: 8 } } },
      },
    ]),
    {
      model: null,
      choices: {
        "": ["assistant", "TOOL_CALL", "reasoning: I will ask.", 'tool: ask q {"q":1}', "text: Asked."],
      },
      tokens: { ...NONE, input: 7, output: 8 },
      error: null,
      gaps: [],
    },
  );
});

Deno.test("Ollama: lines of JSON, the last one says that it is the last", () => {
  const line = (message: object, more: object = {}) => ({ model: "llm:7b", message, done: false, ...more });
  const lines = [
    line({ role: "assistant", content: "", thinking: "Hm" }),
    line({ role: "assistant", content: "Sa" }),
    line({ role: "assistant", content: "lut" }),
    line({
      role: "assistant",
      content: "",
      tool_calls: [{ function: { name: "wave", arguments: { n: 2 } } }],
    }),
    line({ role: "assistant", content: "" }, {
      done: true,
      done_reason: "stop",
      prompt_eval_count: 3,
      eval_count: 4,
    }),
  ];
  assertEquals(of("Ollama", lines, "ndjson_line"), {
    model: "llm:7b",
    choices: { "": ["assistant", "stop", "reasoning: Hm", "text: Salut", 'tool: wave null {"n":2}'] },
    tokens: { ...NONE, input: 3, output: 4 },
    error: null,
    gaps: [],
  });
  assertEquals(of("Ollama", lines.slice(0, 3), "ndjson_line").gaps, [
    "the stream does not say that it is over",
  ]);
  const generated = [{ model: "m", response: "a", done: false }, { model: "m", response: "b", done: true }];
  assertEquals(of("Ollama", generated, "ndjson_line").choices, { "": [null, null, "text: ab"] });
});
