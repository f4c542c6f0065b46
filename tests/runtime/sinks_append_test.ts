import { assertEquals, assertRejects } from "@std/assert";
import { cutAt, openForAppend, seekToEnd } from "../../src/runtime/sinks/append_file.ts";

Deno.test("openForAppend writes at the end of what is there, also after reading, cutting and opening again", async () => {
  const folder = await Deno.makeTempDir({ prefix: "sinks_append_" });
  try {
    const path = `${folder}/a`;
    const write = (file: Deno.FsFile, text: string) => file.write(new TextEncoder().encode(text));
    const first = await openForAppend(path);
    await write(first, "one two");
    await cutAt(first, 4);
    await write(first, "three");
    first.close();
    const second = await openForAppend(path);
    await second.seek(0, Deno.SeekMode.Start);
    await second.read(new Uint8Array(2));
    await seekToEnd(second);
    await write(second, "!");
    second.close();
    assertEquals(await Deno.readTextFile(path), "one three!");
    await assertRejects(() => openForAppend(path, { createNew: true }), Deno.errors.AlreadyExists);
    if (Deno.build.os !== "windows") assertEquals((await Deno.stat(path)).mode! & 0o777, 0o600);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
