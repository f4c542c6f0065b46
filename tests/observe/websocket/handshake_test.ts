import { assertEquals } from "@std/assert";
import type { Field } from "../../../src/http/fields.ts";
import type { UpgradeHead } from "../../../src/http/observation.ts";
import { opensWebSocket, readHandshake } from "../../../src/observe/websocket/handshake.ts";
import { OBSERVE_CONFIG } from "../observed.ts";
import { REQUEST_FIELDS, RESPONSE_FIELDS, upgradeHead, withFields } from "./observed.ts";

const { sha1 } = OBSERVE_CONFIG;

function violations(request: readonly Field[], response: readonly Field[]): readonly string[] {
  return readHandshake(upgradeHead({ requestFields: request, responseFields: response }), sha1).violations;
}

function extended(protocol: string, status: number): UpgradeHead {
  const { request, response, ...head } = upgradeHead({ requestFields: [["sec-websocket-version", "13"]] });
  return {
    ...head,
    request: { ...request, method: "CONNECT", protocol },
    response: { ...response, status, fields: [] },
  };
}

Deno.test("opensWebSocket knows the 101 that names it, and the 2xx to an extended CONNECT", () => {
  const head = upgradeHead();
  assertEquals(opensWebSocket(head), true);
  assertEquals(opensWebSocket({ ...head, response: { ...head.response, status: 200 } }), false);
  const other = upgradeHead({ responseFields: withFields(RESPONSE_FIELDS, ["Upgrade", "echo"]) });
  assertEquals(opensWebSocket(other), false);
  assertEquals(opensWebSocket(extended("websocket", 200)), true);
  assertEquals(opensWebSocket(extended("websocket", 403)), false);
  assertEquals(opensWebSocket(extended("connect-udp", 200)), false);
});

Deno.test("readHandshake checks key and answer, but for an extended CONNECT, which has none", () => {
  assertEquals(violations(REQUEST_FIELDS, RESPONSE_FIELDS), []);
  assertEquals(readHandshake(extended("websocket", 200), sha1).violations, []);
  const asked = (...change: [string, string | null]) =>
    violations(withFields(REQUEST_FIELDS, change), RESPONSE_FIELDS);
  const answered = (...change: [string, string | null]) =>
    violations(REQUEST_FIELDS, withFields(RESPONSE_FIELDS, change));
  assertEquals(asked("Sec-WebSocket-Key", null), ["key_missing"]);
  assertEquals(asked("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="), ["accept_mismatch"]);
  assertEquals(asked("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAB=="), ["key_invalid", "accept_mismatch"]);
  assertEquals(asked("Sec-WebSocket-Version", null), ["version_missing"]);
  assertEquals(asked("Sec-WebSocket-Version", "13, 8"), ["version_unsupported"]);
  assertEquals(asked("Upgrade", "h2c"), ["upgrade_not_asked"]);
  assertEquals(answered("Connection", null), ["connection_missing"]);
  assertEquals(answered("Sec-WebSocket-Accept", null), ["accept_missing"]);
  assertEquals(answered("Sec-WebSocket-Protocol", "chat"), ["subprotocol_not_offered"]);
});

Deno.test("readHandshake takes a subprotocol for agreed only as it was offered, letter by letter", () => {
  const agreed = (offer: string, answer: string) =>
    violations(
      withFields(REQUEST_FIELDS, ["Sec-WebSocket-Protocol", offer]),
      withFields(RESPONSE_FIELDS, ["Sec-WebSocket-Protocol", answer]),
    );
  assertEquals(agreed("a, b", "b"), []);
  assertEquals(agreed("a, b", "B"), ["subprotocol_not_offered"]);
});
