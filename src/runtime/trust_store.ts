/**
 * How an operating system and its browsers come to trust the CA, as the exact commands to run.
 *
 * The plan is a function of what was found on the system, so each platform's branch can be read and
 * tested on any other. Nothing here runs anything.
 */
import { join } from "node:path";

export interface TrustRequest {
  readonly action: "trust" | "untrust";
  /** `machine` is everyone on it and mostly needs an administrator; `user` is the one who runs the command. */
  readonly scope: "machine" | "user";
  readonly certPath: string;
  /** Lower-case hex. */
  readonly sha256: string;
  readonly sha1: string;
}

export interface TrustCommand {
  readonly argv: readonly string[];
  /** What it does, for the person who is asked to run it. */
  readonly why: string;
  /** Failure is no obstacle: what it would take away may not be there. */
  readonly mayFail: boolean;
}

export interface TrustPlan {
  readonly commands: readonly TrustCommand[];
  readonly hints: readonly string[];
  /** Why the plan cannot be run as it stands, or null. */
  readonly obstacle: string | null;
}

/** What is known about the system. */
export interface SystemFacts {
  /** As `Deno.build.os`. */
  readonly platform: string;
  readonly isRoot: boolean;
  readonly home: string | null;
  readonly anchors: AnchorDirectory | null;
  /** Directories of NSS databases: Chromium's and Firefox's profiles on Linux. */
  readonly nssDatabases: readonly string[];
  readonly hasCertutil: boolean;
  /** Paths and variables that could not be looked at, as Deno permission flags. */
  readonly missingGrants: readonly string[];
}

/** A directory that a Linux distribution reads extra roots from, and what makes it do so. */
export interface AnchorDirectory {
  readonly path: string;
  readonly family: string;
  readonly update: readonly string[];
  /** Where forgetting takes another command than learning. */
  readonly updateAfterRemoval: readonly string[];
}

export const ANCHOR_DIRECTORIES: readonly AnchorDirectory[] = [
  {
    path: "/etc/pki/ca-trust/source/anchors",
    family: "Fedora, Red Hat",
    update: ["update-ca-trust", "extract"],
    updateAfterRemoval: ["update-ca-trust", "extract"],
  },
  {
    path: "/etc/ca-certificates/trust-source/anchors",
    family: "Arch",
    update: ["update-ca-trust", "extract"],
    updateAfterRemoval: ["update-ca-trust", "extract"],
  },
  {
    path: "/etc/pki/trust/anchors",
    family: "SUSE",
    update: ["update-ca-certificates"],
    updateAfterRemoval: ["update-ca-certificates"],
  },
  // Last, because other distributions may have this directory for other reasons.
  {
    path: "/usr/local/share/ca-certificates",
    family: "Debian, Ubuntu, Alpine",
    update: ["update-ca-certificates"],
    updateAfterRemoval: ["update-ca-certificates", "--fresh"],
  },
];

export function trustPlan(request: TrustRequest, facts: SystemFacts): TrustPlan {
  switch (facts.platform) {
    case "darwin":
      return macPlan(request, facts);
    case "windows":
      return windowsPlan(request);
    case "linux":
      return linuxPlan(request, facts);
    default:
      return {
        commands: [],
        hints: [],
        obstacle:
          `There is no recipe for ${facts.platform}; add ${request.certPath} to its trust store by hand`,
      };
  }
}

/** A command as a person would type it. */
export function shellLine(argv: readonly string[], platform: string): string {
  return argv.map((word) => {
    if (/^[A-Za-z0-9_@%+=:,./-]+$/.test(word)) return word;
    if (platform === "windows") return /^[A-Za-z0-9_@%+=:,./\\-]+$/.test(word) ? word : `"${word}"`;
    return `'${word.replaceAll("'", "'\\''")}'`;
  }).join(" ");
}

function macPlan({ action, scope, certPath, sha1 }: TrustRequest, facts: SystemFacts): TrustPlan {
  const machine = scope === "machine";
  if (!machine && facts.home === null) return homeless(facts);
  const keychain = machine
    ? "/Library/Keychains/System.keychain"
    : join(facts.home ?? "", "Library/Keychains/login.keychain-db");
  const domain = machine ? ["-d"] : [];
  const asRoot = machine && !facts.isRoot ? ["sudo"] : [];
  const commands: TrustCommand[] = action === "trust"
    ? [{
      argv: [
        ...asRoot,
        "security",
        "add-trusted-cert",
        ...domain,
        "-r",
        "trustRoot",
        "-k",
        keychain,
        certPath,
      ],
      why: machine
        ? "trusts the CA for everyone on this Mac"
        : "trusts the CA for you; macOS asks you to confirm",
      mayFail: false,
    }]
    : [{
      argv: [...asRoot, "security", "remove-trusted-cert", ...domain, certPath],
      why: "takes the trust away",
      mayFail: true,
    }, {
      argv: [...asRoot, "security", "delete-certificate", "-Z", sha1.toUpperCase(), keychain],
      why: "removes the certificate from the keychain",
      mayFail: false,
    }];
  return { commands, hints: [], obstacle: null };
}

function windowsPlan({ action, scope, certPath, sha1 }: TrustRequest): TrustPlan {
  const store = scope === "machine" ? [] : ["-user"];
  const command: TrustCommand = action === "trust"
    ? {
      argv: ["certutil.exe", ...store, "-addstore", "Root", certPath],
      why: "adds the CA to the trusted roots",
      mayFail: false,
    }
    : {
      argv: ["certutil.exe", ...store, "-delstore", "Root", sha1],
      why: "removes the CA from the trusted roots",
      mayFail: false,
    };
  const hint = scope === "machine"
    ? "Run it from a prompt opened as administrator, or use --user to do it for yourself alone"
    : "Windows shows a dialog in which you confirm";
  return { commands: [command], hints: [hint], obstacle: null };
}

function linuxPlan(request: TrustRequest, facts: SystemFacts): TrustPlan {
  const commands: TrustCommand[] = [];
  const hints: string[] = [];
  let obstacle: string | null = null;
  if (request.scope === "machine") {
    if (facts.anchors !== null) {
      commands.push(...anchorCommands(request, facts.anchors, facts.isRoot));
    } else {
      obstacle = facts.missingGrants.length > 0
        ? `Cannot see which distribution this is; start with ${facts.missingGrants.join(" ")}`
        : "None of the directories in which distributions keep extra roots is there; " +
          "install the package ca-certificates";
      for (const anchors of ANCHOR_DIRECTORIES) {
        const lines = anchorCommands(request, anchors, facts.isRoot);
        hints.push(
          `On ${anchors.family}: ${lines.map(({ argv }) => shellLine(argv, "linux")).join(" && ")}`,
        );
      }
    }
  } else if (facts.home === null) {
    return homeless(facts);
  }
  if (facts.nssDatabases.length > 0 && !facts.hasCertutil) {
    hints.push(
      "Chromium and Firefox keep roots of their own; for them install certutil " +
        "(Debian, Ubuntu: libnss3-tools; Fedora, Alpine: nss-tools; Arch: nss) and repeat this command",
    );
  }
  if (facts.hasCertutil) {
    for (const database of facts.nssDatabases) commands.push(nssCommand(request, database));
  }
  if (request.scope === "user" && commands.length === 0 && hints.length === 0) {
    hints.push("No NSS database of Chromium or Firefox was found in your home directory: nothing to do");
  }
  return { commands, hints, obstacle };
}

function anchorCommands(request: TrustRequest, anchors: AnchorDirectory, isRoot: boolean): TrustCommand[] {
  const asRoot = isRoot ? [] : ["sudo"];
  // Each CA has a file of its own, so that taking away an old one leaves the new one.
  const target = join(anchors.path, `${shortName(request)}.crt`);
  return request.action === "trust"
    ? [{
      argv: [...asRoot, "install", "-m", "0644", request.certPath, target],
      why: "puts the CA where the system looks for extra roots",
      mayFail: false,
    }, { argv: [...asRoot, ...anchors.update], why: "makes the system read it", mayFail: false }]
    : [
      { argv: [...asRoot, "rm", "-f", target], why: "takes the CA from the extra roots", mayFail: false },
      {
        argv: [...asRoot, ...anchors.updateAfterRemoval],
        why: "makes the system forget it",
        mayFail: false,
      },
    ];
}

function nssCommand(request: TrustRequest, database: string): TrustCommand {
  const name = shortName(request);
  return request.action === "trust"
    ? {
      argv: ["certutil", "-A", "-d", `sql:${database}`, "-t", "C,,", "-n", name, "-i", request.certPath],
      why: "trusts the CA in this browser's database",
      mayFail: false,
    }
    : {
      argv: ["certutil", "-D", "-d", `sql:${database}`, "-n", name],
      why: "removes the CA from this browser's database",
      mayFail: true,
    };
}

function shortName({ sha256 }: TrustRequest): string {
  return `soth-mitm-${sha256.slice(0, 16)}`;
}

function homeless({ missingGrants }: SystemFacts): TrustPlan {
  const mend = missingGrants.length > 0 ? `start with ${missingGrants.join(" ")}` : "set HOME";
  return { commands: [], hints: [], obstacle: `Cannot find your home directory; ${mend}` };
}

const CERTUTIL_PATHS = [
  "/usr/bin/certutil",
  "/usr/local/bin/certutil",
  "/run/current-system/sw/bin/certutil",
];

/** Below the home directory; Chromium's are databases, Firefox's hold a profile per directory. */
const CHROMIUM_DATABASES = [".pki/nssdb", "snap/chromium/current/.pki/nssdb"];
const FIREFOX_PROFILES = [
  ".mozilla/firefox",
  ".config/mozilla/firefox",
  "snap/firefox/common/.mozilla/firefox",
  ".var/app/org.mozilla.firefox/.mozilla/firefox",
];

/** Looks at the system this runs on. What may not be looked at is reported as missing grants. */
export async function probeSystem(platform: string = Deno.build.os): Promise<SystemFacts> {
  const missing = new Set<string>();
  const home = granted(missing, "--allow-env=HOME", () => Deno.env.get("HOME") ?? null, null);
  const isRoot = platform !== "windows" &&
    granted(missing, "--allow-sys=uid", () => Deno.uid() === 0, false);
  const facts = { platform, isRoot, home };
  if (platform !== "linux") {
    return { ...facts, anchors: null, nssDatabases: [], hasCertutil: false, missingGrants: [...missing] };
  }
  let anchors: AnchorDirectory | null = null;
  for (const candidate of ANCHOR_DIRECTORIES) {
    if (anchors === null && await isThere(candidate.path, missing)) anchors = candidate;
  }
  let hasCertutil = false;
  for (const path of CERTUTIL_PATHS) hasCertutil ||= await isThere(path, missing);
  const nssDatabases = home === null ? [] : await findNssDatabases(home, missing);
  return { ...facts, anchors, nssDatabases, hasCertutil, missingGrants: [...missing] };
}

async function findNssDatabases(home: string, missing: Set<string>): Promise<string[]> {
  const found: string[] = [];
  for (const database of CHROMIUM_DATABASES) {
    if (await isThere(join(home, database, "cert9.db"), missing)) found.push(join(home, database));
  }
  for (const profiles of FIREFOX_PROFILES) {
    const directory = join(home, profiles);
    try {
      for await (const { name } of Deno.readDir(directory)) {
        if (await isThere(join(directory, name, "cert9.db"), missing)) found.push(join(directory, name));
      }
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) missing.add(`--allow-read=${directory}`);
    }
  }
  return found.sort();
}

async function isThere(path: string, missing: Set<string>): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) missing.add(`--allow-read=${path}`);
    return false;
  }
}

function granted<T>(missing: Set<string>, flag: string, look: () => T, otherwise: T): T {
  try {
    return look();
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) missing.add(flag);
    return otherwise;
  }
}
