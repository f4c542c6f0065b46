/** The help texts. Options come from their tables, so that no help can forget one. */
import { settingsText } from "../runtime/config/reference.ts";
import { optionsHelp } from "./options.ts";
import { CONFIG_OPTIONS, RUN_OPTIONS } from "./run_options.ts";

export const MAIN_HELP = `soth-mitm: an intercepting proxy that sees, decides and records

Usage: soth-mitm [run] [OPTIONS]                      start the proxy
       soth-mitm exec [OPTIONS] -- COMMAND [ARG...]   run a command through a proxy of its own
       soth-mitm ca show|export|rotate|trust|untrust  the certificate authority
       soth-mitm config check|print|schema            look at the configuration
       soth-mitm log show|verify|curl|har FILE        read an event log
       soth-mitm tls-replay FILE                      mitmproxy's TLS callbacks as our events
       soth-mitm learned list|clear [--host HOST]     who is let through for refusing the CA
       soth-mitm --version | --help | COMMAND --help

Options of run and exec:
${optionsHelp(RUN_OPTIONS)}
PATTERN is a host, a glob (*.example.com is also example.com), an IP or a CIDR, each with an optional :port.
`;

const EXIT_CODES_HELP = `Exit codes:
  0   a clean stop, also after SIGINT or SIGTERM
  2   usage: an unknown option, a missing argument
  20  config_invalid
  21  event_sink_init_failed: a sink cannot be opened
  22  proxy_init_failed: cannot listen, CA unusable, missing permission
  23  runtime_failed: anything else that ended the proxy
`;

export const RUN_HELP = `Usage: soth-mitm [run] [OPTIONS]

Starts the proxy on 127.0.0.1:8080. The first SIGINT or SIGTERM stops accepting and lets what is under way
finish for timeouts.drain; the second closes at once.

${optionsHelp(RUN_OPTIONS)}
Of --intercept, --tunnel and --block the first that matches a host decides, before the rules of the file.

${EXIT_CODES_HELP}`;

export const EXEC_HELP = `Usage: soth-mitm exec [OPTIONS] -- COMMAND [ARG...]

Starts a proxy on a free port and runs COMMAND with the environment that makes common tools use the proxy
and trust its CA. Ends with the status of COMMAND: 127 when it is not found, 126 when it cannot be run,
128 + n when signal n ended it.

${optionsHelp(RUN_OPTIONS)}`;

export const CONFIG_HELP = `Usage: soth-mitm config check [OPTIONS]    is everything that is set allowed?
       soth-mitm config print [OPTIONS]    the effective settings as TOML, each with where it came from
       soth-mitm config schema             JSON Schema of a configuration file

${optionsHelp(CONFIG_OPTIONS)}
A flag wins over the environment, that over the file, that over the default.

Settings:
${settingsText()}`;
