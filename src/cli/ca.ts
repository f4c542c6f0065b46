/**
 * `soth-mitm ca`: look at the certificate authority, hand it to clients, replace it, have it trusted.
 * Needs no running proxy, and for everything but `rotate` and the first `export` or `trust` only the
 * public certificate.
 */
import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import type { Settings } from "../core/settings.ts";
import { type CaFiles, openManagedCa, readCaFile, rotateManagedCa } from "../runtime/ca_files.ts";
import { isoTime, readPublicCertificate } from "../runtime/ca_material.ts";
import { type CaLocation, caRecipe, locateCa } from "../runtime/ca_store.ts";
import { didYouMean } from "../runtime/config/suggest.ts";
import { StartError } from "../runtime/start_error.ts";
import { probeSystem, shellLine, type SystemFacts, trustPlan } from "../runtime/trust_store.ts";
import type { CertificateFacts } from "../tls/certificate_reader.ts";
import { encodePem } from "../tls/pem.ts";
import { EXIT_CODES } from "./exit.ts";
import {
  has,
  optionsHelp,
  type OptionSpecs,
  parseArguments,
  type ParsedArguments,
  valuesOf,
} from "./options.ts";
import { PLACE_OPTIONS } from "./run_options.ts";
import { UsageError } from "./usage_error.ts";

export interface CaContext {
  readonly settings: Settings;
  readonly io: { stdout(text: string): void; stderr(text: string): void };
  /** As `Deno.build.os`. */
  readonly platform?: string;
  /** Runs a program to its end; without it, `Deno.Command`. */
  readonly runCommand?: (argv: readonly string[]) => Promise<{ code: number; output: string }>;
  readonly probe?: (platform: string) => Promise<SystemFacts>;
  /** Unix time in milliseconds. */
  readonly wallClock?: () => number;
}

const FORMATS = ["pem", "der", "p12"] as const;
type Format = typeof FORMATS[number];

/** What Java and everyone after it takes as the password of a truststore. */
const TRUSTSTORE_PASSWORD = "changeit";

const HELP_OPTION: OptionSpecs = { help: { help: "this text" } };
const EXPORT_OPTIONS: OptionSpecs = {
  format: {
    value: "pem|der|p12",
    help:
      "p12 is a PKCS #12 truststore as Java reads it; default: by FILE's ending (.der, .p12, .pfx), else pem",
  },
  out: { value: "FILE", help: "where to; without it PEM goes to standard output, and der and p12 need it" },
  password: { value: "TEXT", help: `of the p12 truststore; default: ${TRUSTSTORE_PASSWORD}` },
  ...HELP_OPTION,
};
const TRUST_OPTIONS: OptionSpecs = {
  user: { help: "for yourself alone: no administrator needed, where the system has such a store" },
  yes: { help: "run the commands" },
  cert: {
    value: "FILE",
    help: "another certificate than the current CA's, such as one that was rotated away",
  },
  ...HELP_OPTION,
};

interface Subcommand {
  readonly options: OptionSpecs;
  readonly what: string;
  run(options: ParsedArguments, context: CaContext): Promise<number>;
}

const PRINTS_COMMANDS = "Prints the exact commands, and runs them only with --yes.";

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  show: {
    options: HELP_OPTION,
    what: "Prints the CA's subject, SHA-256 fingerprint, dates and files.",
    run: (_options, context) => show(context),
  },
  export: {
    options: EXPORT_OPTIONS,
    what: "Writes the CA's certificate, never its key; makes the CA if there is none yet.",
    run: exportCertificate,
  },
  rotate: {
    options: HELP_OPTION,
    what: `Makes a new CA in the state directory. The old certificate stays beside it as ca-FINGERPRINT.pem,
for \`ca untrust --cert\`; the old key is removed.`,
    run: (_options, context) => rotate(context),
  },
  trust: {
    options: TRUST_OPTIONS,
    what:
      `Has this machine and your browsers trust the CA; makes it if there is none yet.\n${PRINTS_COMMANDS}`,
    run: (options, context) => changeTrust("trust", options, context),
  },
  untrust: {
    options: TRUST_OPTIONS,
    what: `Has this machine and your browsers forget the CA.\n${PRINTS_COMMANDS}`,
    run: (options, context) => changeTrust("untrust", options, context),
  },
};

const HELP = `Usage: soth-mitm ca show      the CA's subject, fingerprint, dates and files
       soth-mitm ca export    write its certificate as PEM, DER or a PKCS #12 truststore
       soth-mitm ca rotate    make a new CA
       soth-mitm ca trust     print the commands that have this machine trust it; run them with --yes
       soth-mitm ca untrust   the reverse

soth-mitm ca COMMAND --help tells the options. No proxy has to run.
`;

export async function caCommand(args: readonly string[], context: CaContext): Promise<number> {
  const { io } = context;
  try {
    const [name, ...rest] = args;
    if (name === undefined) {
      io.stderr(HELP);
      return EXIT_CODES.usage;
    }
    if (name === "--help" || name === "-h" || name === "help") {
      io.stdout(HELP);
      return EXIT_CODES.ok;
    }
    const subcommand = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined;
    if (subcommand === undefined) throw unknown("command", `ca ${name}`, Object.keys(SUBCOMMANDS), name);
    const options = parseArguments(rest, subcommand.options);
    const [surplus] = [...options.positionals, ...options.rest ?? []];
    if (surplus !== undefined) {
      throw new UsageError(
        `ca ${name} takes no argument ${JSON.stringify(surplus)}; see: soth-mitm ca ${name} --help`,
      );
    }
    if (has(options, "help")) {
      const lines = optionsHelp({ ...subcommand.options, ...PLACE_OPTIONS });
      io.stdout(`Usage: soth-mitm ca ${name} [OPTIONS]\n\n${subcommand.what}\n\n${lines}`);
      return EXIT_CODES.ok;
    }
    return await subcommand.run(options, context);
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof StartError)) throw error;
    io.stderr(`soth-mitm: ${error.message}\n`);
    return EXIT_CODES[error instanceof UsageError ? "usage" : error.exitClass];
  }
}

function unknown(what: string, shown: string, allowed: readonly string[], given: string): UsageError {
  return new UsageError(
    `unknown ${what} ${shown}${didYouMean(given, allowed)}; allowed: ${allowed.join(", ")}`,
  );
}

async function show(context: CaContext): Promise<number> {
  const { settings, io } = context;
  const location = locateCa(settings);
  const { certPath, keyPath } = pathsOf(location);
  const { der, facts } = await readCertificateFile(certPath, location);
  const certificate = new X509Certificate(der);
  const seconds = (context.wallClock ?? Date.now)() / 1000;
  const state = seconds > facts.notAfterSeconds
    ? ` (expired${location.kind === "managed" ? "; run: soth-mitm ca rotate" : ""})`
    : seconds < facts.notBeforeSeconds
    ? " (not valid yet)"
    : "";
  const rows = [
    ["subject", printable(certificate.subject.split("\n").join(", "))],
    ["fingerprint", `SHA-256 ${colons(digest("sha256", der))}`],
    ["valid", `${isoTime(facts.notBeforeSeconds)} to ${isoTime(facts.notAfterSeconds)}${state}`],
    ["certificate", certPath],
    ["key", keyPath],
  ];
  for (const [label, value] of rows) io.stdout(`${label!.padEnd(13)}${value}\n`);
  return EXIT_CODES.ok;
}

async function exportCertificate(options: ParsedArguments, context: CaContext): Promise<number> {
  const { settings, io } = context;
  const out = valuesOf(options, "out")[0];
  const format = formatOf(valuesOf(options, "format")[0], out);
  if (has(options, "password") && format !== "p12") {
    throw new UsageError(`--password is for --format p12, and the format is ${format}`);
  }
  const password = valuesOf(options, "password")[0] ?? TRUSTSTORE_PASSWORD;
  if (!/^[\x20-\x7e]+$/.test(password)) {
    throw new UsageError("--password takes printable ASCII characters; Java reads no other passwords");
  }
  const toStandardOutput = out === undefined || out === "-";
  if (toStandardOutput && format !== "pem") {
    throw new UsageError(`--format ${format} is binary and needs --out FILE`);
  }
  const { der } = await certificateToGive(context);
  if (toStandardOutput) {
    io.stdout(encodePem("CERTIFICATE", der));
    return EXIT_CODES.ok;
  }
  await refuseOwnFiles(out, locateCa(settings));
  const bytes = await encode(der, format, password);
  try {
    await Deno.writeFile(out, bytes, { mode: 0o644 });
  } catch (error) {
    throw writeError(out, error);
  }
  io.stdout(`Wrote ${out}${format === "p12" ? ` (password: ${password})` : ""}\n`);
  return EXIT_CODES.ok;
}

async function rotate(context: CaContext): Promise<number> {
  const { settings, io } = context;
  const location = locateCa(settings);
  if (location.kind === "configured") {
    throw new StartError(
      "config_invalid",
      `tls.ca_cert_path = ${JSON.stringify(location.certPath)} is not ours to replace; ` +
        "put a new pair there, or unset tls.ca_cert_path and tls.ca_key_path to have one made",
    );
  }
  const { files } = location;
  const now = (context.wallClock ?? Date.now)();
  const { material, previousCertPath } = await rotateManagedCa(files, caRecipe(settings), now, null);
  io.stdout(`Made a new CA, SHA-256 ${colons(material.fingerprint)}\n`);
  io.stdout(`Clients have to trust ${files.certPath}: soth-mitm ca trust\n`);
  if (previousCertPath !== null) {
    io.stdout(`Take back the old one's trust: soth-mitm ca untrust --cert ${previousCertPath}\n`);
  }
  // Without an age to rotate at, a running proxy has given up reading the state directory.
  io.stdout(
    "A running proxy goes on with the old one: restart it, unless tls.ca_rotate_after is set; " +
      "then it takes the new one within the hour\n",
  );
  return EXIT_CODES.ok;
}

async function changeTrust(
  action: "trust" | "untrust",
  options: ParsedArguments,
  context: CaContext,
): Promise<number> {
  const { io } = context;
  const platform = context.platform ?? Deno.build.os;
  const given = valuesOf(options, "cert")[0];
  const { certPath, der } = given === undefined
    ? action === "trust" ? await certificateToGive(context) : await certificateThatIs(context)
    : { certPath: resolve(given), ...await readCertificateFile(given, null) };
  const plan = trustPlan({
    action,
    scope: has(options, "user") ? "user" : "machine",
    certPath: resolve(certPath),
    sha256: digest("sha256", der),
    sha1: digest("sha1", der),
  }, await (context.probe ?? probeSystem)(platform));
  const run = has(options, "yes");
  if (plan.obstacle !== null) io.stderr(`soth-mitm: ${plan.obstacle}\n`);
  // With an obstacle in the way nothing is run, not even the part that could be.
  if (run && plan.obstacle === null) {
    for (const command of plan.commands) {
      io.stdout(`${shellLine(command.argv, platform)}\n`);
      const { code, output } = await runWith(context, command.argv);
      if (code === 0) continue;
      io.stderr(`${output.trimEnd()}\n`);
      if (command.mayFail) continue;
      io.stderr(`soth-mitm: the command above ended with ${code}; mend that and repeat this command\n`);
      return EXIT_CODES.runtime_failed;
    }
  } else {
    for (const { argv, why } of plan.commands) {
      io.stdout(`${platform === "windows" ? "rem" : "#"} ${why}\n${shellLine(argv, platform)}\n`);
    }
  }
  for (const hint of plan.hints) io.stderr(`${hint}\n`);
  if (!run && plan.commands.length > 0) io.stderr("Nothing was changed; --yes runs these commands\n");
  return plan.obstacle === null ? EXIT_CODES.ok : EXIT_CODES.proxy_init_failed;
}

async function runWith(
  context: CaContext,
  argv: readonly string[],
): Promise<{ code: number; output: string }> {
  if (context.runCommand !== undefined) return await context.runCommand(argv);
  const [program = "", ...args] = argv;
  try {
    // Whoever asks for a password does so on the terminal itself.
    const { code, stdout, stderr } = await new Deno.Command(program, { args, stdin: "inherit" }).output();
    const decoder = new TextDecoder();
    return { code, output: decoder.decode(stdout) + decoder.decode(stderr) };
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new StartError(
        "proxy_init_failed",
        `Cannot run ${program}: this process has no permission to; start it with --allow-run=${program}`,
        { cause: error },
      );
    }
    if (error instanceof Deno.errors.NotFound) return { code: 127, output: `${program} is not installed` };
    throw error;
  }
}

interface PublicCertificate {
  readonly der: Uint8Array;
  readonly facts: CertificateFacts;
}

/** The certificate to hand out, made with its CA if there is none yet. */
async function certificateToGive(context: CaContext): Promise<PublicCertificate & { certPath: string }> {
  const { settings, io } = context;
  const location = locateCa(settings);
  if (location.kind === "managed" && !await isThere(location.files)) {
    const opened = await openManagedCa(location.files, caRecipe(settings), (context.wallClock ?? Date.now)());
    for (const notice of opened.notice) io.stderr(`${notice}\n`);
    const { certDer: der, facts } = opened.material;
    return { der, facts, certPath: location.files.certPath };
  }
  return await certificateThatIs(context);
}

async function certificateThatIs({ settings }: CaContext): Promise<PublicCertificate & { certPath: string }> {
  const location = locateCa(settings);
  const { certPath } = pathsOf(location);
  return { certPath, ...await readCertificateFile(certPath, location) };
}

async function readCertificateFile(path: string, location: CaLocation | null): Promise<PublicCertificate> {
  try {
    return readPublicCertificate(await readCaFile(path, { secret: false }), path);
  } catch (error) {
    const isMissing = error instanceof StartError && error.cause instanceof Deno.errors.NotFound;
    if (!isMissing || location?.kind !== "managed") throw error;
    throw new StartError(
      "proxy_init_failed",
      `There is no CA in ${location.files.directory} yet; the first run makes it, and so does: soth-mitm ca export`,
      { cause: error },
    );
  }
}

async function isThere({ certPath }: CaFiles): Promise<boolean> {
  try {
    await Deno.stat(certPath);
    return true;
  } catch (error) {
    // What cannot be looked at is reported, with its mend, by the read that follows.
    return !(error instanceof Deno.errors.NotFound);
  }
}

function pathsOf(location: CaLocation): { certPath: string; keyPath: string } {
  return location.kind === "managed" ? location.files : location;
}

function formatOf(given: string | undefined, out: string | undefined): Format {
  if (given !== undefined) {
    const format = FORMATS.find((known) => known === given);
    if (format === undefined) throw unknown("format", given, FORMATS, given);
    return format;
  }
  if (out !== undefined && /\.(p12|pfx)$/i.test(out)) return "p12";
  return out !== undefined && /\.der$/i.test(out) ? "der" : "pem";
}

async function encode(der: Uint8Array, format: Format, password: string): Promise<Uint8Array> {
  switch (format) {
    case "pem":
      return new TextEncoder().encode(encodePem("CERTIFICATE", der));
    case "der":
      return der;
    case "p12": {
      // Half of node-forge hangs on this one, and nobody else needs it.
      const { buildTruststore } = await import("../tls/pkcs12.ts");
      return buildTruststore({
        certificate: der,
        friendlyName: "soth-mitm",
        password,
        salt: new Uint8Array(randomBytes(16)),
      });
    }
  }
}

/** An export over `ca.key` would be the end of the CA. */
async function refuseOwnFiles(out: string, location: CaLocation): Promise<void> {
  const target = await Deno.realPath(out).catch(() => resolve(out));
  const { certPath, keyPath } = pathsOf(location);
  for (const path of [certPath, keyPath]) {
    if (target !== await Deno.realPath(path).catch(() => resolve(path))) continue;
    throw new UsageError(`--out ${out} is the CA's own file; name another`);
  }
}

function writeError(path: string, error: unknown): StartError {
  const found = error instanceof Error ? error.message : String(error);
  const mend = error instanceof Deno.errors.NotCapable
    ? `start with --allow-write=${path}`
    : "name a file in a directory that you may write to";
  return new StartError("proxy_init_failed", `Cannot write ${path}: ${found}; to mend it, ${mend}`, {
    cause: error,
  });
}

function digest(algorithm: "sha1" | "sha256", bytes: Uint8Array): string {
  return createHash(algorithm).update(bytes).digest("hex");
}

function colons(hex: string): string {
  return hex.toUpperCase().replace(/(..)(?!$)/g, "$1:");
}

/** A certificate's names may hold anything, also what moves a terminal's cursor. */
function printable(text: string): string {
  // deno-lint-ignore no-control-regex
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => JSON.stringify(character).slice(1, -1));
}
