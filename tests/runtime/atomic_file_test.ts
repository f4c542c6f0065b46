import { assertEquals, assertRejects } from "@std/assert";
import { removeTemporaries, replaceFile, takeLock } from "../../src/runtime/atomic_file.ts";
import { withStateDir } from "../support/ca_settings.ts";

Deno.test("replaceFile leaves the new content alone, in the mode that was asked for", () =>
  withStateDir(async (directory) => {
    await Deno.mkdir(directory);
    const path = `${directory}/file`;
    for (const text of ["first, and longer", "second"]) {
      await replaceFile(path, text, 0o600);
      assertEquals(await Deno.readTextFile(path), text);
    }
    if (Deno.build.os !== "windows") assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name), ["file"]);
  }));

Deno.test("replaceFile that fails leaves the old content and nothing beside it", () =>
  withStateDir(async (directory) => {
    await Deno.mkdir(`${directory}/taken/inside`, { recursive: true });
    // A folder with something in it cannot be replaced by a file.
    await assertRejects(() => replaceFile(`${directory}/taken`, "text", 0o600));
    await assertRejects(() => replaceFile(`${directory}/missing/file`, "text", 0o600), Deno.errors.NotFound);
    assertEquals([...Deno.readDirSync(directory)].map(({ name, isDirectory }) => [name, isDirectory]), [
      ["taken", true],
    ]);
  }));

Deno.test("takeLock has one holder at a time, and the next as soon as that one lets go", () =>
  withStateDir(async (directory) => {
    await Deno.mkdir(directory);
    const first = await takeLock(`${directory}/lock`);
    let isHeld = true;
    const second = takeLock(`${directory}/lock`).then((lock) => {
      assertEquals(isHeld, false);
      return lock;
    });
    await Deno.stat(directory);
    isHeld = false;
    first?.close();
    (await second)?.close();
  }));

Deno.test("removeTemporaries takes what replaceFile left of our files, and nothing else", () =>
  withStateDir(async (directory) => {
    await Deno.mkdir(directory);
    const uuid = "01234567-0123-0123-0123-0123456789ab";
    const kept = ["ours", `ours.${uuid}`, `other.${uuid}.tmp`, "ours.1.tmp"].sort();
    for (const name of [...kept, `ours.${uuid}.tmp`]) await Deno.writeTextFile(`${directory}/${name}`, "");
    await removeTemporaries(directory, (name) => name === "ours");
    assertEquals([...Deno.readDirSync(directory)].map(({ name }) => name).sort(), kept);
  }));
