/**
 * `soth-mitm ca`: look at the certificate authority, hand it to clients, replace it, have it trusted.
 * Needs no running proxy, and for everything but `rotate` and the first `export` or `trust` only the
 * public certificate.
 */
import { createHash, createHmac, randomBytes, X509Certificate } from "node:crypto";
import { resolve } from "node:path";
import type { Settings } from "../core/settings.ts";
import { type CaFiles, openManagedCa, readCaFile, rotateManagedCa } from "../runtime/ca_files.ts";
import { isoTime, readPublicCertificate } from "../runtime/ca_material.ts";
import { type CaLocation, caRecipe, locateCa } from "../runtime/ca_store.ts";
import { StartError } from "../runtime/start_error.ts";
import { probeSystem, shellLine, type SystemFacts, trustPlan } from "../runtime/trust_store.ts";
import type { CertificateFacts } from "../tls/certificate_reader.ts";
import { encodePem } from "../tls/pem.ts";
import { buildTruststore } from "../tls/pkcs12.ts";
import { type OptionTable, parseOptions, UsageError } from "./ca_options.ts";

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

const EXIT = {
  ok: 0,
  usage: 2,
  config_invalid: 20,
  event_sink_init_failed: 21,
  proxy_init_failed: 22,
  failed: 23,
};

const HELP_OPTION = { help: { takesValue: false } } as const;
const TRUST_OPTIONS = {
  ...HELP_OPTION,
  yes: { takesValue: false },
  user: { takesValue: false },
  cert: { takesValue: true },
} as const;

const FORMATS = ["pem", "der", "p12"] as const;
type Format = typeof FORMATS[number];

/** What Java and everyone after it takes as the password of a truststore. */
const TRUSTSTORE_PASSWORD = "changeit";

interface Subcommand {
  readonly options: OptionTable;
  readonly help: string;
  run(options: ReadonlyMap<string, string>, context: CaContext): Promise<number>;
}

const SUBCOMMANDS: Readonly<Record<string, Subcommand>> = {
  show: {
    options: HELP_OPTION,
    help: `soth-mitm ca show

Prints the CA's subject, SHA-256 fingerprint, dates and files.
`,
    run: (_options, context) => show(context),
  },
  export: {
    options: {
      ...HELP_OPTION,
      format: { takesValue: true },
      out: { takesValue: true },
      password: { takesValue: true },
    },
    help: `soth-mitm ca export [--format pem|der|p12] [--out FILE] [--password TEXT]

Writes the CA's certificate, never its key; makes the CA if there is none yet.

  --format FORMAT   pem (default), der, or p12, a PKCS #12 truststore as Java reads it;
                    without it, the ending of FILE decides (.der, .p12, .pfx)
  --out FILE        where to; without it PEM goes to standard output. der and p12 need it
  --password TEXT   p12 only: the truststore's password (default: ${TRUSTSTORE_PASSWORD})
`,
    run: exportCertificate,
  },
  rotate: {
    options: HELP_OPTION,
    help: `soth-mitm ca rotate

Makes a new CA in the state directory. The old certificate stays beside it as
ca-FINGERPRINT.pem, for \`ca untrust --cert\`; the old key is removed.
A running proxy takes the new CA over within the hour, or when it is started again.
`,
    run: (_options, context) => rotate(context),
  },
  trust: {
    options: TRUST_OPTIONS,
    help: trustHelp(
      "trust",
      "Has this machine and the user's browsers trust the CA; makes it if there is none yet.",
    ),
    run: (options, context) => changeTrust("trust", options, context),
  },
  untrust: {
    options: TRUST_OPTIONS,
    help: trustHelp("untrust", "Has this machine and the user's browsers forget the CA."),
    run: (options, context) => changeTrust("untrust", options, context),
  },
};

const HELP = `soth-mitm ca show|export|rotate|trust|untrust

  show      the CA's subject, fingerprint, dates and files
  export    write its certificate as PEM, DER or a PKCS #12 truststore
  rotate    make a new CA
  trust     print the commands that have this machine trust it; run them with --yes
  untrust   the reverse

soth-mitm ca COMMAND --help says more.
`;

export async function caCommand(args: readonly string[], context: CaContext): Promise<number> {
  const { io } = context;
  try {
    const [name, ...rest] = args;
    if (name === undefined || name === "--help" || name === "-h" || name === "help") {
      (name === undefined ? io.stderr : io.stdout)(HELP);
      return name === undefined ? EXIT.usage : EXIT.ok;
    }
    const subcommand = Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined;
    if (subcommand === undefined) throw UsageError.unknown("command", name, Object.keys(SUBCOMMANDS));
    const options = parseOptions(rest, subcommand.options);
    if (options.has("help")) {
      io.stdout(subcommand.help);
      return EXIT.ok;
    }
    return await subcommand.run(options, context);
  } catch (error) {
    if (error instanceof UsageError) {
      io.stderr(`soth-mitm ca: ${error.message}\n`);
      return EXIT.usage;
    }
    if (error instanceof StartError) {
      io.stderr(`soth-mitm ca: ${error.message}\n`);
      return EXIT[error.exitClass];
    }
    throw error;
  }
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
  return EXIT.ok;
}

async function exportCertificate(options: ReadonlyMap<string, string>, context: CaContext): Promise<number> {
  const { settings, io } = context;
  const out = options.get("out");
  const format = formatOf(options.get("format"), out);
  if (options.has("password") && format !== "p12") {
    throw new UsageError(`--password is for --format p12, and the format is ${format}`);
  }
  const toStandardOutput = out === undefined || out === "-";
  if (toStandardOutput && format !== "pem") {
    throw new UsageError(`--format ${format} is binary and needs --out FILE`);
  }
  const { der } = await certificateToGive(context);
  if (toStandardOutput) {
    io.stdout(encodePem("CERTIFICATE", der));
    return EXIT.ok;
  }
  await refuseOwnFiles(out, locateCa(settings));
  const password = options.get("password") ?? TRUSTSTORE_PASSWORD;
  const bytes = encode(der, format, password);
  try {
    await Deno.writeFile(out, bytes, { mode: 0o644 });
  } catch (error) {
    throw writeError(out, error);
  }
  io.stdout(`Wrote ${out}${format === "p12" ? ` (password: ${password})` : ""}\n`);
  return EXIT.ok;
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
  io.stdout("A running proxy takes it over within the hour, or when it is started again\n");
  return EXIT.ok;
}

async function changeTrust(
  action: "trust" | "untrust",
  options: ReadonlyMap<string, string>,
  context: CaContext,
): Promise<number> {
  const { io } = context;
  const platform = context.platform ?? Deno.build.os;
  const given = options.get("cert");
  const { certPath, der } = given === undefined
    ? action === "trust" ? await certificateToGive(context) : await certificateThatIs(context)
    : { certPath: resolve(given), ...await readCertificateFile(given, null) };
  const plan = trustPlan({
    action,
    scope: options.has("user") ? "user" : "machine",
    certPath: resolve(certPath),
    sha256: digest("sha256", der),
    sha1: digest("sha1", der),
  }, await (context.probe ?? probeSystem)(platform));
  const run = options.has("yes");
  if (plan.obstacle !== null) io.stderr(`soth-mitm ca: ${plan.obstacle}\n`);
  // With an obstacle in the way nothing is run, not even the part that could be.
  if (run && plan.obstacle === null) {
    for (const command of plan.commands) {
      io.stdout(`${shellLine(command.argv, platform)}\n`);
      const { code, output } = await runWith(context, command.argv);
      if (code === 0) continue;
      io.stderr(`${output.trimEnd()}\n`);
      if (command.mayFail) continue;
      io.stderr(`soth-mitm ca: the command above ended with ${code}; mend that and repeat this command\n`);
      return EXIT.failed;
    }
  } else {
    for (const { argv, why } of plan.commands) {
      io.stdout(`${platform === "windows" ? "rem" : "#"} ${why}\n${shellLine(argv, platform)}\n`);
    }
  }
  for (const hint of plan.hints) io.stderr(`${hint}\n`);
  if (!run && plan.commands.length > 0) io.stderr("Nothing was changed; --yes runs these commands\n");
  return plan.obstacle === null ? EXIT.ok : EXIT.proxy_init_failed;
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
    if (format === undefined) throw UsageError.unknown("format", given, FORMATS);
    return format;
  }
  if (out !== undefined && /\.(p12|pfx)$/i.test(out)) return "p12";
  return out !== undefined && /\.der$/i.test(out) ? "der" : "pem";
}

function encode(der: Uint8Array, format: Format, password: string): Uint8Array {
  switch (format) {
    case "pem":
      return new TextEncoder().encode(encodePem("CERTIFICATE", der));
    case "der":
      return der;
    case "p12":
      return buildTruststore({
        certificate: der,
        friendlyName: "soth-mitm",
        password,
        salt: new Uint8Array(randomBytes(16)),
        sha1: (message) => new Uint8Array(createHash("sha1").update(message).digest()),
        hmacSha1: (key, message) => new Uint8Array(createHmac("sha1", key).update(message).digest()),
      });
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

function trustHelp(action: string, what: string): string {
  return `soth-mitm ca ${action} [--user] [--yes] [--cert FILE]

${what}
Prints the exact commands, and runs them only with --yes.

  --user        for yourself alone: no administrator needed, where the system has such a store
  --yes         run the commands
  --cert FILE   another certificate than the current CA's, such as one that was rotated away
`;
}
