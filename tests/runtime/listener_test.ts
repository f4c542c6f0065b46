import { assertEquals, assertRejects } from "@std/assert";
import { Listener, type ListenerOptions } from "../../src/runtime/listener.ts";
import { StartError } from "../../src/runtime/start_error.ts";

const OPTIONS: ListenerOptions = {
  onConnection: (socket) => socket.destroy(),
  onPause: () => {},
  onResume: () => {},
  onError: () => {},
};

for (const [address, grant] of [["127.0.0.1:0", "127.0.0.1:0"], ["[::1]:0", "[::1]:0"]] as const) {
  Deno.test({
    name: `Listener.listen refuses ${address} without the grant, and names it`,
    permissions: { net: false },
    async fn() {
      const refused = await assertRejects(() => Listener.listen(address, OPTIONS), StartError);
      assertEquals(refused.exitClass, "proxy_init_failed");
      assertEquals(refused.message.endsWith(`start it with --allow-net=${grant}`), true, refused.message);
    },
  });
}

Deno.test({
  name: "Listener.listen wants the grant for what a name stands for, too",
  permissions: { net: ["localhost"] },
  async fn() {
    const refused = await assertRejects(() => Listener.listen("localhost:0", OPTIONS), StartError);
    assertEquals(/--allow-net=(127\.0\.0\.1|\[::1\]):0$/.test(refused.message), true, refused.message);
  },
});

Deno.test({
  name: "Listener.listen is content with the grant for its one address",
  permissions: { net: ["127.0.0.1:0"] },
  async fn() {
    const listener = await Listener.listen("127.0.0.1:0", OPTIONS);
    assertEquals(/^127\.0\.0\.1:[1-9]\d*$/.test(listener.address), true, listener.address);
    listener.close();
  },
});
