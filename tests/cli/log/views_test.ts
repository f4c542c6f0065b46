import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { loadViews } from "../../../src/cli/log/views.ts";
import { UsageError } from "../../../src/cli/usage_error.ts";
import { completed, LogBuilder, requestHeaders, responseHeaders } from "../../log/log_builder.ts";
import { payloadEvent, unitEvent } from "../../log/spoken_builder.ts";
import { run, withLog } from "./run_log.ts";

Deno.test("a view is known by the path of the request, those of a file first", async () => {
  const viewOf = await loadViews(undefined);
  const cases: readonly [target: string, name: string | undefined][] = [
    ["/v1/chat/completions?x=1", "OpenAI chat completions"],
    ["/openai/deployments/a/chat/completions", "OpenAI chat completions"],
    ["/v1/responses", "OpenAI responses"],
    ["/v1//messages", "Anthropic messages"],
    ["/v1beta/models/g-4:streamGenerateContent?alt=sse", "Gemini generateContent"],
    ["/v2/chat", "Cohere chat"],
    ["/api/generate", "Ollama"],
    ["/v1/messages/count_tokens", undefined],
    ["/", undefined],
  ];
  for (const [target, name] of cases) assertEquals(viewOf(target)?.name, name, target);
  const file = await Deno.makeTempFile({ prefix: "views_" });
  await Deno.writeTextFile(file, '[{"name":"Mine","paths":["*/v1/*"],"rules":[]}]');
  assertEquals((await loadViews(file))("/v1/messages")?.name, "Mine");
  assertEquals((await loadViews(file))("/v2/chat")?.name, "Cohere chat");
  const refused: readonly [text: string, part: string][] = [
    ["[", "cannot read"],
    ["{}", "the table is not a list"],
    ['[{"name":"x","paths":["x"],"rules":[]}]', "[0].paths[0] is not a glob on the path"],
  ];
  for (const [text, part] of refused) {
    await Deno.writeTextFile(file, text);
    assertStringIncludes((await assertRejects(() => loadViews(file), UsageError)).message, part);
  }
  await Deno.remove(file);
  await assertRejects(() => loadViews(file), UsageError);
});

Deno.test("the README's file of views is one", async () => {
  const readme = await Deno.readTextFile(new URL("../../../README.md", import.meta.url));
  const [, text] = /`--views FILE`[^]*?```json\n([^]*?)```/.exec(readme)!;
  const file = await Deno.makeTempFile({ prefix: "views_" });
  await Deno.writeTextFile(file, text!);
  assertEquals((await loadViews(file))("/v1/ask")?.name, "My service");
  await Deno.remove(file);
});

function log(): LogBuilder {
  const log = new LogBuilder().open();
  const chunk = (content: string) =>
    unitEvent("sse_event", { model: "m", choices: [{ index: 0, delta: { content } }] });
  return log.add(
    log.flow(1),
    requestHeaders(1, { method: "POST", target: "/v1/chat/completions" }),
    responseHeaders(1, 200),
    chunk("Par"),
    chunk("is."),
    completed(1, { outcome: "server_aborted" }),
    requestHeaders(2, { target: "/other" }),
    payloadEvent({ a: "Paris." }, { exchange_id: 2 }),
    completed(2),
  );
}

Deno.test("log show --llm prints what was said below its exchange, and searches it put together", async () => {
  const file = await Deno.makeTempFile({ prefix: "views_" });
  await Deno.writeTextFile(file, '[{"name":"Mine","paths":["/other"],"rules":[{"as":"text","path":"a"}]}]');
  await withLog(log().lines, async (path) => {
    const shown = async (...options: string[]) => {
      const { code, stdout } = await run("show", path, ...options);
      assertEquals(code, 0);
      return stdout.trimEnd().split("\n").map((line) => line.replace(/^\S+ +1-1/, "1-1"));
    };
    const answer = [
      "1-1/1   POST     200       0 B   2.5 ms  https://api.example.com/v1/chat/completions  (server_aborted)",
      "    m, tokens not stated",
      "      Paris.",
      "    cut: server_aborted; the stream does not say that it is over",
    ];
    const other = "1-1/2   GET        -       0 B   2.5 ms  https://api.example.com/other";
    assertEquals(await shown("--llm"), [...answer, other]);
    assertEquals(await shown(), [answer[0], other]);
    assertEquals(await shown("--llm", "--grep", "Paris", "--path", "/v1/*"), answer);
    assertEquals(await shown("--grep", "Paris", "--path", "/v1/*"), [""], "no event has it whole");
    assertEquals((await shown("--views", file)).slice(4), [
      other,
      "    Mine, tokens not stated",
      "      Paris.",
    ]);
    const { said } = JSON.parse((await run("show", path, "--json", "--llm")).stdout.split("\n")[0]!);
    assertEquals([said.model, said.choices[0].parts], ["m", [{ type: "text", text: "Paris." }]]);
  });
  await Deno.remove(file);
});
