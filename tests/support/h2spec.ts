/** h2spec's verdicts on an origin alone and on the proxy in front of it. */
import { assert, assertEquals } from "@std/assert";
import { unlisted } from "../support/corpora.ts";
import { makeAuthority } from "./certificates.ts";
import { ProxyProcess } from "./proxy_process.ts";
import type { ServerProcess } from "./server_process.ts";
import { run, tool } from "./tools.ts";

/** By section and title: empty where the test passed, else what h2spec expected and got. */
type Verdicts = ReadonlyMap<string, string>;

/** How long h2spec waits for an answer before it takes silence for one. */
const PATIENCE_SECONDS = 2;

/**
 * No test that `start`'s origin passes alone may fail through the proxy, but for those that
 * `fixtures/expected.jsonl` lists for the suite `h2spec/NAME`.
 */
export async function compareByH2spec(
  name: string,
  start: (folder: string) => Promise<ServerProcess>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const authority = makeAuthority();
    const { certPem, keyPem } = authority.issue({ names: ["localhost"] });
    await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
    await Deno.writeTextFile(`${folder}/server.pem`, certPem);
    await Deno.writeTextFile(`${folder}/server.key`, keyPem);
    await Deno.mkdir(`${folder}/site`);
    await Deno.writeTextFile(`${folder}/site/index.html`, "hello\n");
    await using origin = await start(folder);
    await using proxy = await ProxyProcess.start(`h2spec-${name}`, {
      args: ["--reverse", `https://localhost:${origin.ports[0]}`],
      config: `[tls]\nupstream_ca_bundle = ${JSON.stringify(`${folder}/root.pem`)}\n`,
    });
    const compare = async (): Promise<Map<string, string>> => {
      const [alone, through] = await Promise.all([
        h2spec(origin.ports[0]!, `${folder}/alone.xml`),
        h2spec(proxy.port, `${folder}/through.xml`),
      ]);
      assertEquals([...through.keys()], [...alone.keys()]);
      assert(alone.size > 140, `${alone.size} tests`);
      const passed = (verdicts: Verdicts) =>
        [...verdicts.values()].filter((verdict) => verdict === "").length;
      console.log(
        `${name}: ${passed(alone)} of ${alone.size} alone, ${passed(through)} through the proxy`,
      );
      assert(passed(alone) > 100, "an origin that fails so much says nothing about the proxy");
      return new Map([...through].filter(([id, verdict]) => verdict !== "" && alone.get(id) === ""));
    };
    let differences = await compare();
    // Some tests are a race within the origin, which passes and fails them as it happens: what differs, differs twice.
    if (differences.size > 0) {
      const again = await compare();
      differences = new Map([...differences].filter(([id]) => again.has(id)));
    }
    assertEquals(unlisted(`h2spec/${name}`, [...differences].map(([id, ours]) => ({ id, ours }))), []);
    await proxy.stop();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function h2spec(port: number, report: string): Promise<Verdicts> {
  const { stderr } = await run(tool("h2spec"), [
    ...["--strict", "--host", "localhost", "--port", String(port), "--tls", "--insecure"],
    ...["--timeout", String(PATIENCE_SECONDS), "--junit-report", report],
  ], { timeoutMs: 300_000 });
  try {
    return readVerdicts(await Deno.readTextFile(report));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    throw new Error(`h2spec wrote no report: ${stderr}`);
  }
}

/** The JUnit report as h2spec writes it: a flat list of cases, with an element inside where one failed. */
export function readVerdicts(xml: string): Verdicts {
  const verdicts = new Map<string, string>();
  for (const [, section, title, body] of xml.matchAll(CASE)) {
    const id = `${section} ${plain(title!)}`;
    assert(!verdicts.has(id), `${id} twice`);
    const said = plain(body!.replaceAll(/<[^>]*>/g, " ")).trim().replaceAll(/\s+/g, " ");
    verdicts.set(id, body === "" ? "" : said || "failed");
  }
  return verdicts;
}

const CASE = /<testcase package="([^"]*)" classname="([^"]*)"[^>]*>(.*?)<\/testcase>/gs;

const ENTITIES: { readonly [name: string]: string } = {
  "&lt;": "<",
  "&gt;": ">",
  "&#34;": '"',
  "&quot;": '"',
  "&#39;": "'",
  "&apos;": "'",
  "&#xA;": "\n",
  "&amp;": "&",
};

function plain(text: string): string {
  return text.replaceAll(/&#?\w+;/g, (entity) => ENTITIES[entity] ?? entity);
}
