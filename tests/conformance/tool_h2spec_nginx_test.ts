/** As `tool_h2spec_test.ts`, with nginx, whose old releases answer many tests by silence: so this one takes long. */
import { compareByH2spec } from "../support/h2spec.ts";
import { startOnFreePorts } from "../support/server_process.ts";
import { tool } from "../support/tools.ts";

Deno.test("no test of h2spec that nginx passes fails through the proxy", () =>
  compareByH2spec("nginx", (folder) =>
    startOnFreePorts(tool("nginx"), 1, async ([port]) => {
      await Deno.writeTextFile(`${folder}/nginx.conf`, configuration(folder, port!));
      return ["-p", folder, "-c", `${folder}/nginx.conf`, "-e", "stderr"];
    })));

function configuration(folder: string, port: number): string {
  return `
    daemon off;
    master_process off;
    pid ${folder}/nginx.pid;
    events {}
    http {
      access_log off;
      client_body_temp_path ${folder}/bodies;
      proxy_temp_path ${folder}/proxied;
      fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi;
      scgi_temp_path ${folder}/scgi;
      ssl_certificate ${folder}/server.pem;
      ssl_certificate_key ${folder}/server.key;
      server {
        listen 127.0.0.1:${port} ssl http2;
        root ${folder}/site;
        # Of static files it takes no POST, which h2spec's tests of DATA want answered.
        error_page 405 =200 /index.html;
      }
    }`;
}
