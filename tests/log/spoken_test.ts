import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { EVENT_KINDS, type LoggedEvent } from "../../src/core/event.ts";
import { BUILTIN_VIEWS } from "../support/llm_views.ts";
import type { RuleSource, ViewSource } from "../../src/log/message_view.ts";
import { PARTS_MAX, SPOKEN_CHARACTERS_MAX, SpokenMessages } from "../../src/log/spoken.ts";
import { closed, completed, flowEvent, LogBuilder, requestHeaders, responseHeaders } from "./log_builder.ts";
import { feed, flatten, payloadEvent, said, unitEvent, view } from "./spoken_builder.ts";

function source(...rules: RuleSource[]): ViewSource {
  return { name: "test", paths: ["*"], rules };
}

const TEXT = source({ as: "text", path: "t" }, { as: "end", path: "", when: { "": "END" } });

Deno.test("SpokenMessages says why a message is perhaps not whole", () => {
  const gaps = (...events: Parameters<typeof feed>[1]) => {
    const messages = new SpokenMessages(() => view(TEXT));
    feed(messages, [requestHeaders(1), responseHeaders(1, 200), ...events]);
    return messages.take("1-1", 1)?.gaps;
  };
  const [text, end] = [unitEvent("sse_event", { t: "x" }), unitEvent("sse_event", "END")];
  assertEquals(gaps(text, end, completed(1)), []);
  assertEquals(gaps(text, end), ["the log has no end of it"]);
  assertEquals(gaps(text, completed(1, { outcome: "server_aborted" })), [
    "server_aborted",
    "the stream does not say that it is over",
  ]);
  assertEquals(gaps(unitEvent("sse_event", '{"t":"lo', { truncated: true }), end, completed(1)), [
    "recorded in part: 1 of its events",
  ]);
  assertEquals(gaps(text, unitEvent("sse_event", '{"t":', { complete: false }), completed(1))?.length, 2);
  const stopped = flowEvent(
    "observer_stopped",
    { direction: "response", exchange_id: 1, observer: "sse" },
    "h1:1",
  );
  assertEquals(gaps(text, stopped, end, completed(1)), ["recorded in part: 1 of its events"]);
  const omitted = payloadEvent(null, { bytes: 70000, value_omitted: true });
  const { value: _, ...unread } = omitted.attributes;
  assertEquals(gaps({ ...omitted, attributes: unread }, completed(1)), ["its 70000 bytes were not decoded"]);
});

Deno.test("SpokenMessages looks at responses alone, at each once, and forgets them", () => {
  const messages = new SpokenMessages((target) => target === "/yes" ? view(TEXT) : null);
  const events = [
    requestHeaders(1, { target: "/yes" }),
    requestHeaders(2, { target: "/no" }),
    unitEvent("sse_event", { t: "request" }, { direction: "request" }),
    unitEvent("sse_event", { t: "a" }),
    unitEvent("sse_event", { t: "b" }, { exchange_id: 2 }),
    payloadEvent({ t: "a" }, { index: 0, stages: ["sse", "json"] }),
    completed(1),
  ];
  feed(messages, events);
  assertEquals(messages.take("1-1", 2), null);
  assertEquals(flatten(messages.take("1-1", 1)!).choices, { "": [null, null, "text: a"] });
  assertEquals(messages.take("1-1", 1), null);
  feed(messages, [...events, closed()]);
  assertEquals(messages.take("1-1", 1), null, "its flow is over");
  feed(messages, events);
  messages.clear();
  assertEquals(messages.take("1-1", 1), null, "the log was opened again");
  assertEquals(said(TEXT, [], "payload"), null, "nothing was said");
});

Deno.test("SpokenMessages joins as a rule says", () => {
  const joined = (
    join: "append" | "replace" | "first" | "each",
    as: "text" | "role" | "tool.name" = "text",
  ) =>
    flatten(
      said(source({ as, path: "t", join }), [{ t: "a" }, { t: "b" }, { t: "" }, { t: null }], "payload")!,
    )
      .choices[""];
  assertEquals(joined("append"), [null, null, "text: ab"]);
  assertEquals(joined("replace"), [null, null, "text: b"]);
  assertEquals(joined("first"), [null, null, "text: a"]);
  assertEquals(joined("each"), [null, null, "text: a", "text: b"]);
  assertEquals([joined("first", "role"), joined("replace", "role")], [["a", null], ["b", null]]);
  assertEquals(joined("append", "tool.name"), [null, null, "tool: ab null "]);
});

Deno.test("SpokenMessages keeps so many characters, parts and choices of an answer and says that there was more", () => {
  const half = "x".repeat(SPOKEN_CHARACTERS_MAX / 2);
  const long = said(TEXT, [{ t: half }, { t: half }, { t: "y" }], "payload")!;
  assertEquals(long.choices[0]?.parts[0]?.text.length, SPOKEN_CHARACTERS_MAX);
  assertEquals(long.gaps, ["what is longer is not shown"]);
  assertEquals(said(TEXT, [{ t: half }, { t: half }], "payload")!.gaps, []);
  const units = (count: number) => Array.from({ length: count }, (_, index) => ({ t: "x", k: index }));
  const parts = source({ as: "text", path: "t", part: "k" });
  assertEquals(said(parts, units(PARTS_MAX), "payload")!.gaps, []);
  const many = said(parts, units(PARTS_MAX + 1), "payload")!;
  assertEquals([many.choices[0]?.parts.length, many.gaps.length], [PARTS_MAX, 1]);
  const choices = said(source({ as: "stop", path: "t", choice: "k" }), units(PARTS_MAX + 1), "payload")!;
  assertEquals([choices.choices.length, choices.gaps.length], [PARTS_MAX, 1]);
});

Deno.test("SpokenMessages never throws, whatever a response holds", () => {
  const names =
    "choices index delta content tool_calls function name arguments usage type candidates parts text message";
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 6 },
      fc.constantFrom("message_start", "response", "", null, true, -1, 1e400, "\x1b[2J"),
      fc.array(tie("any"), { maxLength: 3 }),
      fc.dictionary(fc.constantFrom(...names.split(" ")), tie("any"), { maxKeys: 4 }),
    ),
  })).any;
  const event = fc.record({
    kind: fc.constantFrom(...EVENT_KINDS),
    data: fc.oneof(value, value.map((value) => JSON.stringify(value))),
    value,
  });
  fc.assert(
    fc.property(fc.constantFrom(...BUILTIN_VIEWS), fc.array(event, { maxLength: 8 }), (source, events) => {
      const messages = new SpokenMessages(() => view(source));
      const { lines } = new LogBuilder().open().add(new LogBuilder().open().flow(1), requestHeaders(1));
      const head = JSON.parse(lines[1]!) as LoggedEvent;
      messages.event(head);
      for (const { kind, ...attributes } of events) {
        if (kind === "stream_closed") continue;
        messages.event({
          ...head,
          kind,
          attributes: { exchange_id: 1, direction: "response", ...attributes as LoggedEvent["attributes"] },
        });
      }
      const spoken = messages.take("1-1", 1);
      assert(spoken === null || JSON.stringify(spoken).length > 0);
    }),
    { numRuns: 300 },
  );
});

Deno.test("SpokenMessages takes for a count of tokens what can be one; nothing else is known, nor 0", () => {
  const source: ViewSource = {
    name: "counts",
    paths: ["*"],
    rules: [{ as: "tokens.output", path: "n" }, { as: "text", path: "text" }],
  };
  const counted = (...units: readonly unknown[]) =>
    said(source, [{ text: "a" }, ...units], "sse_event")!.tokens.output;
  assertEquals([counted(), counted({ n: 0 }), counted({ n: 7 })], [null, 0, 7]);
  for (const n of [-1, -0.5, 1.5, 1e300, "7", null, true, [7], { n: 7 }]) {
    assertEquals(counted({ n }), null, JSON.stringify(n));
    assertEquals(counted({ n: 3 }, { n }), 3, "what was stated before stands");
  }
});
