/** The views of `log show --llm`: those that are built in, and before them those of a file. */
import builtinViews from "../../../fixtures/views/llm.json" with { type: "json" };
import { parseViews, type View } from "../../log/message_view.ts";
import { comparablePath, matchesPath, parsePathGlob, pathFault } from "../../policy/path.ts";
import { UsageError } from "../usage_error.ts";

/** The first view whose paths fit a request's target. Throws a `UsageError` that says what is wrong with the file. */
export async function loadViews(file: string | undefined): Promise<(target: string) => View | null> {
  const own = file === undefined ? [] : await readViews(file);
  const builtin = parseViews(builtinViews, pathFault);
  if ("type" in builtin) throw new Error(builtin.detail);
  const views = [...own, ...builtin].map((view) => ({ view, globs: view.paths.map(parsePathGlob) }));
  return (target) => {
    const path = comparablePath(target);
    return views.find(({ globs }) => globs.some((glob) => matchesPath(glob, path)))?.view ?? null;
  };
}

async function readViews(file: string): Promise<readonly View[]> {
  let value: unknown;
  try {
    value = JSON.parse(await Deno.readTextFile(file));
  } catch (fault) {
    const detail = fault instanceof Error ? fault.message : String(fault);
    throw new UsageError(`--views: cannot read ${file}: ${detail}`);
  }
  const views = parseViews(value, pathFault);
  if ("type" in views) throw new UsageError(`--views: ${file}: ${views.detail}`);
  return views;
}
