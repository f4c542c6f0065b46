/**
 * The README shows what `log show` prints for a JSON API in gzip, a call in MsgPack, a chat and what language models
 * said: here they are made anew, and printed the same but for times and ports.
 */
import { assertEquals } from "@std/assert";
import { gzipSync } from "node:zlib";
import { makeAuthority } from "../support/certificates.ts";
import { type TestProxy, withProxy } from "../support/proxy.ts";
import { startStreamOrigin, streamed } from "../support/stream_origin.ts";
import { openThrough, startWebSockets } from "../support/ws_peers.ts";
import { run } from "../cli/log/run_log.ts";

const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
const authority = makeAuthority();
const certificate = authority.issue({ names: ["localhost"] });

/** What the README has behind a command, up to the next one. */
function transcript(command: string): string {
  const start = readme.indexOf(`$ ${command}\n`);
  const rest = readme.slice(start + command.length + 3);
  return rest.slice(0, rest.search(/^(\$ |```)/m));
}

/** Without what is another one in each run. */
const timeless = (text: string) =>
  text.replace(/^\d\d:\d\d:\d\d\.\d{3}/gm, "TIME").replace(/ +[0-9.]+ (ms|s) {2}https/g, " DURATION  https")
    .replace(/localhost:\d+/g, "localhost:PORT");

const octets = (text: string) => new TextEncoder().encode(text);

/** Exchanges through a proxy, one after the other, and what `log show` prints of them. */
async function shown(
  option: string,
  play: (
    proxy: TestProxy,
    caPath: string,
    fetchThrough: (url: string, body?: BodyInit, type?: string) => Promise<void>,
  ) => Promise<void>,
): Promise<string> {
  const folder = await Deno.makeTempDir();
  await Deno.writeTextFile(`${folder}/root.pem`, authority.certPem);
  const settings = {
    tls: { upstream_ca_bundle: `${folder}/root.pem` },
  };
  let text = "";
  try {
    await withProxy({ settings }, async (proxy) => {
      await Deno.writeTextFile(`${folder}/ca.pem`, proxy.caCertPem);
      let flows = 0;
      await play(proxy, `${folder}/ca.pem`, async (url, body, type = "application/json") => {
        const client = Deno.createHttpClient({
          proxy: { url: `http://${proxy.host}:${proxy.port}` },
          caCerts: [proxy.caCertPem],
        });
        const response = await fetch(url, {
          client,
          ...(body === undefined ? {} : { method: "POST", body, headers: { "content-type": type } }),
        });
        // One that is cut is read as far as it comes.
        await response.bytes().catch(() => {});
        client.close();
        await proxy.closed(++flows);
      });
      await proxy.mitm.stop();
      const { code, stdout } = await run("show", option, proxy.log);
      assertEquals(code, 0);
      text = stdout;
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
  return text;
}

Deno.test("the README's transcript of messages is what log show --messages prints", async () => {
  const items = '{"items":[{"id":12345678901234567890,"name":"Käse"}],"next":null}';
  const call = Uint8Array.fromHex(
    "83a66d6574686f64a5636f756e74a46172677392" + "01" + "d6ff00000000" + "a57472616365c4030102ff",
  );
  const answer = Uint8Array.fromHex("82a26f6bc3a5746f74616ccfffffffffffffffff");
  const origin = startStreamOrigin(
    (request) =>
      new URL(request.url).pathname === "/rpc"
        ? new Response(answer, { headers: { "content-type": "application/msgpack" } })
        : new Response(new Uint8Array(gzipSync(items)), {
          headers: { "content-type": "application/json", "content-encoding": "gzip" },
        }),
    certificate,
  );
  const chat = await startWebSockets(certificate, false, (socket) => {
    socket.on("message", (data) => {
      socket.send(`You said: ${data.toString()}`);
      socket.send("Anything else?");
    });
  });
  const text = await shown("--messages", async (proxy, caPath, fetchThrough) => {
    const site = `https://localhost:${origin.port}`;
    await fetchThrough(`${site}/v1/items`);
    await fetchThrough(`${site}/rpc`, call, "application/msgpack");
    const place = { host: proxy.host, port: proxy.port, caPath };
    const peer = await openThrough(place, chat.port, "/chat", false);
    for (const said of ["Hello", "No, thanks"]) {
      peer.socket.send(said);
      await peer.message();
      await peer.message();
    }
    await peer.close();
    await proxy.closed(3);
  });
  await origin.close();
  await chat.close();
  assertEquals(timeless(text), timeless(transcript("soth-mitm log show --messages events.jsonl")));
});

const event = (data: unknown, name?: string) =>
  octets(
    `${name === undefined ? "" : `event: ${name}\n`}data: ${
      typeof data === "string" ? data : JSON.stringify(data)
    }\n\n`,
  );

async function* completion() {
  const chunk = (delta: unknown, more = {}) =>
    event({
      id: "chatcmpl-1",
      object: "chat.completion.chunk",
      model: "demo-small",
      choices: [{ index: 0, delta, finish_reason: null, ...more }],
    });
  yield await Promise.resolve(chunk({ role: "assistant", content: "" }));
  for (const content of ["The capital", " of Norway", " is Oslo.\n", "Let me look", " at its weather."]) {
    yield chunk({ content });
  }
  yield chunk({
    tool_calls: [{ index: 0, id: "call_1", type: "function", function: { name: "weather", arguments: "" } }],
  });
  for (const part of ['{"city"', ':"Oslo"}']) {
    yield chunk({ tool_calls: [{ index: 0, function: { arguments: part } }] });
  }
  yield chunk({}, { finish_reason: "tool_calls" });
  const usage = { prompt_tokens: 14, completion_tokens: 21, total_tokens: 35 };
  yield event({ id: "chatcmpl-1", object: "chat.completion.chunk", model: "demo-small", choices: [], usage });
  yield event("[DONE]");
}

/** Cut in the middle, once all of it has come. */
async function* cutMessage(arrived: Promise<void>) {
  const typed = (type: string, more: unknown = {}) => event({ type, ...(more as object) }, type);
  const delta = (index: number, delta: unknown) => typed("content_block_delta", { index, delta });
  yield typed("message_start", {
    message: { id: "msg_1", role: "assistant", model: "demo-large", usage: { input_tokens: 25 } },
  });
  yield typed("content_block_start", { index: 0, content_block: { type: "thinking", thinking: "" } });
  yield delta(0, { type: "thinking_delta", thinking: "They want a rhyme." });
  yield typed("content_block_stop", { index: 0 });
  yield typed("content_block_start", { index: 1, content_block: { type: "text", text: "" } });
  yield delta(1, { type: "text_delta", text: "Roses are red,\n" });
  yield delta(1, { type: "text_delta", text: "violets" });
  await arrived;
  throw new Error("cut by the test");
}

async function* lines() {
  const line = (value: unknown) => octets(JSON.stringify(value) + "\n");
  const piece = (content: string) =>
    line({ model: "demo:7b", message: { role: "assistant", content }, done: false });
  yield await Promise.resolve(piece("Sal"));
  yield piece("ut!");
  yield line({
    model: "demo:7b",
    message: { role: "assistant", content: "" },
    done: true,
    done_reason: "stop",
    prompt_eval_count: 9,
    eval_count: 3,
  });
}

Deno.test("the README's transcript of language models is what log show --llm prints", async () => {
  const arrived = Promise.withResolvers<void>();
  const sse = { "content-type": "text/event-stream" };
  const origin = startStreamOrigin((request) => {
    switch (new URL(request.url).pathname) {
      case "/v1/chat/completions":
        return streamed(completion(), sse);
      case "/v1/messages":
        return streamed(cutMessage(arrived.promise), sse);
      default:
        return streamed(lines(), { "content-type": "application/x-ndjson" });
    }
  }, certificate);
  const text = await shown("--llm", async (proxy, _caPath, fetchThrough) => {
    const site = `https://localhost:${origin.port}`;
    await fetchThrough(`${site}/v1/chat/completions`, '{"model":"demo-small","stream":true}');
    const cut = fetchThrough(`${site}/v1/messages`, '{"stream":true}');
    // What is still under way when a stream is reset may be lost with it.
    await proxy.event(({ kind, attributes }) =>
      kind === "sse_event" && String(attributes.data).includes("violets")
    );
    arrived.resolve();
    await cut;
    await fetchThrough(`${site}/api/chat`, '{"model":"demo:7b"}');
  });
  await origin.close();
  assertEquals(timeless(text), timeless(transcript("soth-mitm log show --llm events.jsonl")));
});
