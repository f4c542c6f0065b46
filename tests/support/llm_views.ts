/** The views of `log show --llm` that are there without a file. */
import type { ViewSource } from "../../src/log/message_view.ts";

export const BUILTIN_VIEWS: readonly ViewSource[] = JSON.parse(
  Deno.readTextFileSync(new URL("../../fixtures/views/llm.json", import.meta.url)),
);
