import { assert, assertEquals } from "@std/assert";
import { settingsMarkdown } from "../../src/runtime/config/reference.ts";
import { startHttpOrigin } from "../support/origin.ts";

const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));

Deno.test("the README's table of settings is the one the program knows", () => {
  const [, table] = /<!-- settings -->\n([^]*?)<!-- \/settings -->/.exec(readme)!;
  const cells = (text: string) =>
    text.trim().split("\n").filter((line) => !/^\|[\s|-]+$/.test(line)).map((line) =>
      line.split("|").map((cell) => cell.trim()).join("|")
    );
  assertEquals(cells(table!), cells(settingsMarkdown()));
});

Deno.test("the README's program of ten lines runs and prints what passes", async () => {
  const [, program] = /## From TypeScript\n\n```ts\n([^]*?)```/.exec(readme)!;
  assert(program!.trim().split("\n").length <= 10, "it has at most ten lines");
  const directory = await Deno.makeTempDir({ prefix: "soth-mitm-readme-" });
  const root = new URL("../../", import.meta.url);
  const file = `${directory}/program.ts`;
  await Deno.writeTextFile(
    file,
    program!.replace("./mod.ts", new URL("mod.ts", root).href).replace("127.0.0.1:8080", "127.0.0.1:0"),
  );
  const origin = await startHttpOrigin();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "-q",
      "-P=executable",
      "--no-prompt",
      "--config",
      new URL("deno.json", root).pathname,
      file,
    ],
    env: { HOME: directory, XDG_DATA_HOME: directory, LOCALAPPDATA: directory, NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let said = "";
  const lines = child.stdout.pipeThrough(new TextDecoderStream());
  for await (const text of lines) {
    const before = said;
    said += text;
    const listening = /proxy on (127\.0\.0\.1):(\d+), CA in /.exec(said);
    if (listening !== null && !before.includes("CA in")) {
      const client = await Deno.connect({ hostname: listening[1]!, port: Number(listening[2]) });
      const request =
        `GET ${origin.url}/bytes/7 HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: close\r\n\r\n`;
      await client.write(new TextEncoder().encode(request));
      assert((await new Response(client.readable).text()).startsWith("HTTP/1.1 200"));
    }
    if (said.includes(`GET ${origin.url}/bytes/7`)) break;
  }
  try {
    child.kill();
  } catch {
    // Nobody reads its output any more, so it may have ended by itself.
  }
  const { code } = await child.status;
  assert(
    said.includes(`GET ${origin.url}/bytes/7`),
    `${said} (exit ${code}) ${await new Response(child.stderr).text()}`,
  );
  await origin.close();
  await Deno.remove(directory, { recursive: true });
});
