import { assertEquals } from "@std/assert";
import { EXIT_CODES } from "../../src/cli/exit.ts";
import { ended, ready, STARTING, statusLine } from "../../src/cli/status_lines.ts";

const head = 'SOTH_MITM_STATUS\t{"schema":"soth-mitm-automation-status-v1",';

Deno.test("statusLine writes each stage as the contract has it, keys in order", () => {
  assertEquals(
    statusLine(STARTING),
    `${head}"stage":"startup","outcome":"in_progress","exit_code":0,"exit_class":"ok","detail":{}}\n`,
  );
  assertEquals(
    statusLine(ready(["127.0.0.1:1", "[::1]:2"], "/s/ca.pem", 7)),
    `${head}"stage":"running","outcome":"ready","exit_code":0,"exit_class":"ok",` +
      '"detail":{"listen":["127.0.0.1:1","[::1]:2"],"ca_cert_path":"/s/ca.pem","pid":7}}\n',
  );
  assertEquals(
    statusLine(ended(0, "ok", {})),
    `${head}"stage":"exit","outcome":"ok","exit_code":0,"exit_class":"ok","detail":{}}\n`,
  );
  assertEquals(
    statusLine(ended(20, "config_invalid", { message: "a\nb" })),
    `${head}"stage":"exit","outcome":"error","exit_code":20,"exit_class":"config_invalid",` +
      '"detail":{"message":"a\\nb"}}\n',
  );
});

Deno.test("EXIT_CODES are the contract's", () => {
  assertEquals(EXIT_CODES, {
    ok: 0,
    usage: 2,
    config_invalid: 20,
    event_sink_init_failed: 21,
    proxy_init_failed: 22,
    runtime_failed: 23,
  });
});
