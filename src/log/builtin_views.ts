/** The views that are there without a file: common APIs of language models, as their documentation has them. */
import type { RuleSource, ViewSource } from "./message_view.ts";

const CHOICE = { choice: "choices[*].index" } as const;
const TOOL_DELTA = { ...CHOICE, part: "choices[*].delta.tool_calls[*].index" } as const;

const CHAT_COMPLETIONS: ViewSource = {
  name: "OpenAI chat completions",
  paths: ["*/chat/completions", "*/v1/completions"],
  rules: [
    { as: "model", path: "model" },
    { as: "role", path: "choices[*].delta.role", ...CHOICE },
    { as: "reasoning", path: "choices[*].delta.reasoning_content", ...CHOICE },
    { as: "reasoning", path: "choices[*].delta.reasoning", ...CHOICE },
    { as: "text", path: "choices[*].delta.content", ...CHOICE },
    { as: "refusal", path: "choices[*].delta.refusal", ...CHOICE },
    { as: "tool.id", path: "choices[*].delta.tool_calls[*].id", ...TOOL_DELTA },
    { as: "tool.name", path: "choices[*].delta.tool_calls[*].function.name", ...TOOL_DELTA },
    { as: "tool.arguments", path: "choices[*].delta.tool_calls[*].function.arguments", ...TOOL_DELTA },
    { as: "role", path: "choices[*].message.role", ...CHOICE },
    { as: "reasoning", path: "choices[*].message.reasoning_content", ...CHOICE },
    { as: "reasoning", path: "choices[*].message.reasoning", ...CHOICE },
    { as: "text", path: "choices[*].message.content", ...CHOICE },
    { as: "text", path: "choices[*].text", ...CHOICE },
    { as: "refusal", path: "choices[*].message.refusal", ...CHOICE },
    { as: "tool.id", path: "choices[*].message.tool_calls[*].id", ...CHOICE },
    { as: "tool.name", path: "choices[*].message.tool_calls[*].function.name", ...CHOICE },
    { as: "tool.arguments", path: "choices[*].message.tool_calls[*].function.arguments", ...CHOICE },
    { as: "stop", path: "choices[*].finish_reason", ...CHOICE },
    { as: "tokens.input", path: "usage.prompt_tokens" },
    { as: "tokens.output", path: "usage.completion_tokens" },
    { as: "tokens.total", path: "usage.total_tokens" },
    { as: "tokens.cached", path: "usage.prompt_tokens_details.cached_tokens" },
    { as: "tokens.reasoning", path: "usage.completion_tokens_details.reasoning_tokens" },
    { as: "error", path: "error.message" },
    { as: "end", path: "", when: { "": "[DONE]" } },
  ],
};

const CONTENT_PART = ["output_index", "content_index"];

/** Both of `response.completed` and its like, and of a response that is not streamed. */
function responseObject(prefix: string): RuleSource[] {
  return [
    { as: "model", path: `${prefix}model` },
    { as: "stop", path: `${prefix}incomplete_details.reason` },
    { as: "tokens.input", path: `${prefix}usage.input_tokens` },
    { as: "tokens.output", path: `${prefix}usage.output_tokens` },
    { as: "tokens.total", path: `${prefix}usage.total_tokens` },
    { as: "tokens.cached", path: `${prefix}usage.input_tokens_details.cached_tokens` },
    { as: "tokens.reasoning", path: `${prefix}usage.output_tokens_details.reasoning_tokens` },
    { as: "error", path: `${prefix}error.message` },
  ];
}

const RESPONSES: ViewSource = {
  name: "OpenAI responses",
  paths: ["*/responses"],
  rules: [
    ...responseObject("response."),
    { as: "role", path: "item.role", when: { type: "response.output_item.added" } },
    {
      as: "tool.id",
      path: "item.call_id",
      when: { type: "response.output_item.added" },
      part: "output_index",
    },
    {
      as: "tool.name",
      path: "item.name",
      when: { type: "response.output_item.added" },
      part: "output_index",
    },
    {
      as: "tool.arguments",
      path: "delta",
      when: { type: ["response.function_call_arguments.delta", "response.custom_tool_call_input.delta"] },
      part: "output_index",
    },
    { as: "text", path: "delta", when: { type: "response.output_text.delta" }, part: CONTENT_PART },
    { as: "refusal", path: "delta", when: { type: "response.refusal.delta" }, part: CONTENT_PART },
    {
      as: "reasoning",
      path: "delta",
      when: { type: "response.reasoning_summary_text.delta" },
      part: ["output_index", "summary_index"],
    },
    { as: "reasoning", path: "delta", when: { type: "response.reasoning_text.delta" }, part: CONTENT_PART },
    { as: "stop", path: "response.status", when: { type: ["response.completed", "response.failed"] } },
    { as: "error", path: "message", when: { type: "error" } },
    {
      as: "end",
      path: "",
      when: { type: ["response.completed", "response.incomplete", "response.failed", "error"] },
    },
    ...responseObject("").map((rule) => ({ ...rule, when: { object: "response" } })),
    { as: "stop", path: "status", when: { object: "response" }, join: "first" },
    { as: "role", path: "output[*].role", when: { object: "response" } },
    { as: "reasoning", path: "output[*].summary[*].text", when: { object: "response" } },
    { as: "text", path: "output[*].content[*].text", when: { "output[*].content[*].type": "output_text" } },
    { as: "refusal", path: "output[*].content[*].refusal", when: { object: "response" } },
    { as: "tool.id", path: "output[*].call_id", when: { object: "response" } },
    { as: "tool.name", path: "output[*].name", when: { object: "response" } },
    { as: "tool.arguments", path: "output[*].arguments", when: { object: "response" } },
  ],
};

const BLOCK = { part: "index" } as const;

const MESSAGES: ViewSource = {
  name: "Anthropic messages",
  paths: ["*/v1/messages"],
  rules: [
    { as: "model", path: "message.model" },
    { as: "role", path: "message.role" },
    { as: "tokens.input", path: "message.usage.input_tokens" },
    { as: "tokens.cached", path: "message.usage.cache_read_input_tokens" },
    // What the beginning of a stream says of its output is no count of it.
    { as: "text", path: "content_block.text", ...BLOCK },
    { as: "reasoning", path: "content_block.thinking", ...BLOCK },
    { as: "tool.id", path: "content_block.id", ...BLOCK },
    { as: "tool.name", path: "content_block.name", ...BLOCK },
    { as: "text", path: "delta.text", ...BLOCK },
    { as: "reasoning", path: "delta.thinking", ...BLOCK },
    { as: "tool.arguments", path: "delta.partial_json", ...BLOCK },
    { as: "stop", path: "delta.stop_reason" },
    { as: "tokens.input", path: "usage.input_tokens" },
    { as: "tokens.cached", path: "usage.cache_read_input_tokens" },
    { as: "tokens.output", path: "usage.output_tokens" },
    { as: "error", path: "error.message" },
    { as: "end", path: "", when: { type: ["message_stop", "error"] } },
    { as: "model", path: "model", when: { type: "message" } },
    { as: "role", path: "role", when: { type: "message" } },
    { as: "stop", path: "stop_reason", when: { type: "message" } },
    { as: "text", path: "content[*].text" },
    { as: "reasoning", path: "content[*].thinking" },
    { as: "tool.id", path: "content[*].id" },
    { as: "tool.name", path: "content[*].name" },
    { as: "tool.arguments", path: "content[*].input" },
  ],
};

const CANDIDATE = { choice: "candidates[*].index" } as const;
const PART = "candidates[*].content.parts[*]";

const GENERATE_CONTENT: ViewSource = {
  name: "Gemini generateContent",
  paths: ["*:streamGenerateContent", "*:generateContent"],
  rules: [
    { as: "model", path: "modelVersion" },
    { as: "role", path: "candidates[*].content.role", ...CANDIDATE },
    { as: "reasoning", path: `${PART}.text`, when: { [`${PART}.thought`]: true }, ...CANDIDATE },
    { as: "text", path: `${PART}.text`, unless: { [`${PART}.thought`]: true }, ...CANDIDATE },
    { as: "tool.name", path: `${PART}.functionCall.name`, join: "each", ...CANDIDATE },
    { as: "tool.arguments", path: `${PART}.functionCall.args`, ...CANDIDATE },
    { as: "stop", path: "candidates[*].finishReason", ...CANDIDATE },
    { as: "stop", path: "promptFeedback.blockReason" },
    { as: "tokens.input", path: "usageMetadata.promptTokenCount" },
    { as: "tokens.output", path: "usageMetadata.candidatesTokenCount" },
    { as: "tokens.reasoning", path: "usageMetadata.thoughtsTokenCount" },
    { as: "tokens.cached", path: "usageMetadata.cachedContentTokenCount" },
    { as: "tokens.total", path: "usageMetadata.totalTokenCount" },
    { as: "error", path: "error.message" },
    // There is no mark of the end but that every candidate has a reason for it.
    { as: "end", path: "candidates[*].finishReason" },
    { as: "end", path: "promptFeedback.blockReason" },
  ],
};

const CALL = { part: "index" } as const;

const COHERE_CHAT: ViewSource = {
  name: "Cohere chat",
  paths: ["*/v2/chat"],
  rules: [
    { as: "role", path: "delta.message.role" },
    { as: "reasoning", path: "delta.message.tool_plan" },
    { as: "reasoning", path: "delta.message.content.thinking", ...CALL },
    { as: "text", path: "delta.message.content.text", ...CALL },
    { as: "tool.id", path: "delta.message.tool_calls.id", ...CALL },
    { as: "tool.name", path: "delta.message.tool_calls.function.name", ...CALL },
    { as: "tool.arguments", path: "delta.message.tool_calls.function.arguments", ...CALL },
    { as: "stop", path: "delta.finish_reason" },
    { as: "tokens.input", path: "delta.usage.tokens.input_tokens" },
    { as: "tokens.output", path: "delta.usage.tokens.output_tokens" },
    { as: "error", path: "delta.error" },
    { as: "end", path: "", when: { type: "message-end" } },
    { as: "role", path: "message.role" },
    { as: "reasoning", path: "message.tool_plan" },
    { as: "reasoning", path: "message.content[*].thinking" },
    { as: "text", path: "message.content[*].text" },
    { as: "tool.id", path: "message.tool_calls[*].id" },
    { as: "tool.name", path: "message.tool_calls[*].function.name" },
    { as: "tool.arguments", path: "message.tool_calls[*].function.arguments" },
    { as: "stop", path: "finish_reason" },
    { as: "tokens.input", path: "usage.tokens.input_tokens" },
    { as: "tokens.output", path: "usage.tokens.output_tokens" },
  ],
};

const OLLAMA: ViewSource = {
  name: "Ollama",
  paths: ["*/api/chat", "*/api/generate"],
  rules: [
    { as: "model", path: "model" },
    { as: "role", path: "message.role" },
    { as: "reasoning", path: "message.thinking" },
    { as: "reasoning", path: "thinking" },
    { as: "text", path: "message.content" },
    { as: "text", path: "response" },
    { as: "tool.name", path: "message.tool_calls[*].function.name", join: "each" },
    { as: "tool.arguments", path: "message.tool_calls[*].function.arguments" },
    { as: "stop", path: "done_reason" },
    { as: "tokens.input", path: "prompt_eval_count" },
    { as: "tokens.output", path: "eval_count" },
    { as: "error", path: "error" },
    { as: "end", path: "", when: { done: true } },
  ],
};

/** The first whose path fits the request's speaks for its response. */
export const BUILTIN_VIEWS: readonly ViewSource[] = [
  CHAT_COMPLETIONS,
  RESPONSES,
  MESSAGES,
  GENERATE_CONTENT,
  COHERE_CHAT,
  OLLAMA,
];
