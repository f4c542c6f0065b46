import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Action, type Question, StartError, startMitm } from "../../mod.ts";
import { startHttpOrigin } from "../support/origin.ts";
import { withProxy } from "../support/proxy.ts";

Deno.test("startMitm takes a policy function, synchronous or not, in place of the rules", async () => {
  const origin = await startHttpOrigin();
  for (const answer of [() => "block" as const, () => Promise.resolve("block" as const)]) {
    const questions: Question[] = [];
    const policy = (question: Question) => {
      questions.push(question);
      return answer();
    };
    await withProxy({ policy }, async (proxy) => {
      const client = await proxy.connect();
      await client.write(`GET ${origin.url}/secret?x HTTP/1.1\r\nHost: ${origin.authority}\r\n\r\n`);
      assertEquals((await client.readThrough("\r\n\r\n")).split(" ")[1], "403");
      assertEquals(proxy.of("connect_decision")[0]!.attributes, { action: "block", reason: "override" });
      assertEquals([questions[0]!.method, questions[0]!.path, questions[0]!.authority.port], [
        "GET",
        "/secret?x",
        origin.port,
      ]);
    });
  }
  assertEquals(origin.connections(), 0);
  await origin.close();
});

Deno.test("a policy function that throws ends its flow alone, as internal_error", async () => {
  const origin = await startHttpOrigin();
  const state = await Deno.makeTempDir();
  const mitm = await startMitm({
    settings: { listen: ["127.0.0.1:0"], state_dir: state },
    policy: ({ path }) => {
      if (path === "/bad") throw new Error("broken policy");
      return "intercept";
    },
  });
  const ask = (path: string) =>
    fetchThrough(
      mitm.listen[0]!,
      `GET ${origin.url}${path} HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: close\r\n\r\n`,
    );
  assertEquals(await ask("/bad"), "");
  assertEquals((await ask("/bytes/1")).split(" ")[1], "200");
  await mitm.stop();
  await origin.close();
  await Deno.remove(state, { recursive: true });
});

async function fetchThrough(proxy: string, request: string): Promise<string> {
  const [hostname, port] = proxy.split(":");
  const connection = await Deno.connect({ hostname: hostname!, port: Number(port) });
  await connection.write(new TextEncoder().encode(request));
  return await new Response(connection.readable).text();
}

Deno.test("events() gives every event in order and ends with the proxy", async () => {
  const origin = await startHttpOrigin();
  const state = await Deno.makeTempDir();
  const kinds: string[] = [];
  let reading: Promise<void>;
  {
    await using mitm = await startMitm({ settings: { listen: ["127.0.0.1:0"], state_dir: state } });
    reading = (async () => {
      for await (const event of mitm.events()) kinds.push(event.kind);
    })();
    await fetchThrough(
      mitm.listen[0]!,
      `GET ${origin.url}/bytes/1 HTTP/1.1\r\nHost: ${origin.authority}\r\nConnection: close\r\n\r\n`,
    );
  }
  await reading;
  assertEquals(kinds, [
    "connect_received",
    "connect_decision",
    "request_headers",
    "response_headers",
    "response_body_chunk",
    "payload_decoded",
    "exchange_completed",
    "stream_closed",
  ]);
  await origin.close();
  await Deno.remove(state, { recursive: true });
});

Deno.test("a policy function that answers what is no action ends its flow: nothing is dialled on a misspelling", async () => {
  const origin = await startHttpOrigin();
  const state = await Deno.makeTempDir();
  for (const answer of ["deny", "Block", undefined, {}, { action: "deny" }]) {
    const notices: string[] = [];
    await using mitm = await startMitm({
      settings: { listen: ["127.0.0.1:0"], state_dir: state },
      policy: () => answer as unknown as Action,
      onNotice: ({ message }) => notices.push(message),
    });
    await fetchThrough(mitm.listen[0]!, `CONNECT ${origin.authority} HTTP/1.1\r\n\r\n`);
    assertEquals(mitm.counters.bugs, 1, JSON.stringify(answer));
    assert(notices.some((notice) => notice.includes("allowed are intercept, tunnel, block")), notices.join());
  }
  assertEquals(origin.connections(), 0);
  await origin.close();
  await Deno.remove(state, { recursive: true });
});

Deno.test("startMitm says which setting is wrong", async () => {
  const error = await assertRejects(
    () => startMitm({ settings: { capture: { body_byte: 1 } } }),
    StartError,
  );
  assertEquals((error as StartError).exitClass, "config_invalid");
});
