import { assertEquals, assertMatch } from "@std/assert";
import {
  ANCHOR_DIRECTORIES,
  probeSystem,
  shellLine,
  type SystemFacts,
  trustPlan,
  type TrustRequest,
} from "../../src/runtime/trust_store.ts";

const REQUEST: TrustRequest = {
  action: "trust",
  scope: "machine",
  certPath: "/state/ca/ca.pem",
  sha256: "0123456789abcdef".repeat(4),
  sha1: "ab".repeat(20),
};
const UNTRUST: TrustRequest = { ...REQUEST, action: "untrust" };
const BARE: SystemFacts = {
  platform: "linux",
  isRoot: false,
  home: "/home/me",
  anchors: null,
  nssDatabases: [],
  hasCertutil: false,
  missingGrants: [],
};
const ON_WINDOWS = Deno.build.os === "windows";

function anchorsOf(family: string) {
  const anchors = ANCHOR_DIRECTORIES.find((one) => one.family.includes(family));
  if (anchors === undefined) throw new Error(family);
  return anchors;
}

function lines(request: TrustRequest, facts: SystemFacts): string[] {
  return trustPlan(request, facts).commands.map(({ argv }) => shellLine(argv, facts.platform));
}

Deno.test({
  name: "trustPlan on Linux installs the CA where each distribution looks for it",
  ignore: ON_WINDOWS,
  fn: () => {
    assertEquals(lines(REQUEST, { ...BARE, anchors: anchorsOf("Debian") }), [
      "sudo install -m 0644 /state/ca/ca.pem /usr/local/share/ca-certificates/soth-mitm-0123456789abcdef.crt",
      "sudo update-ca-certificates",
    ]);
    assertEquals(lines(UNTRUST, { ...BARE, anchors: anchorsOf("Debian"), isRoot: true }), [
      "rm -f /usr/local/share/ca-certificates/soth-mitm-0123456789abcdef.crt",
      "update-ca-certificates --fresh",
    ]);
    assertEquals(lines(REQUEST, { ...BARE, anchors: anchorsOf("Fedora") }), [
      "sudo install -m 0644 /state/ca/ca.pem /etc/pki/ca-trust/source/anchors/soth-mitm-0123456789abcdef.crt",
      "sudo update-ca-trust extract",
    ]);
  },
});

Deno.test({
  name: "trustPlan on Linux adds the browsers' own databases, or says how to get certutil",
  ignore: ON_WINDOWS,
  fn: () => {
    const facts = { ...BARE, anchors: anchorsOf("Debian"), nssDatabases: ["/home/me/.pki/nssdb"] };
    assertEquals(lines({ ...REQUEST, scope: "user" }, { ...facts, hasCertutil: true }), [
      "certutil -A -d sql:/home/me/.pki/nssdb -t C,, -n soth-mitm-0123456789abcdef -i /state/ca/ca.pem",
    ]);
    assertEquals(lines(REQUEST, { ...facts, hasCertutil: true }).length, 3);
    const untrust = trustPlan({ ...UNTRUST, scope: "user" }, { ...facts, hasCertutil: true });
    assertEquals(untrust.commands.map(({ mayFail }) => mayFail), [true]);
    assertMatch(trustPlan(REQUEST, facts).hints.join(), /libnss3-tools/);
    assertMatch(trustPlan({ ...REQUEST, scope: "user" }, BARE).hints.join(), /nothing to do/);
  },
});

Deno.test("trustPlan on an unknown Linux shows all recipes and runs none", () => {
  const plan = trustPlan(REQUEST, BARE);
  assertEquals(plan.commands, []);
  assertEquals(plan.hints.length, ANCHOR_DIRECTORIES.length);
  assertMatch(plan.obstacle ?? "", /ca-certificates/);
  const blind = trustPlan(REQUEST, { ...BARE, missingGrants: ["--allow-read=/etc/pki"] });
  assertMatch(blind.obstacle ?? "", /start with --allow-read=\/etc\/pki/);
});

Deno.test({
  name: "trustPlan on macOS uses the system's keychain, or the user's own",
  ignore: ON_WINDOWS,
  fn: () => {
    const mac = { ...BARE, platform: "darwin", home: "/Users/me" };
    assertEquals(lines(REQUEST, mac), [
      "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain /state/ca/ca.pem",
    ]);
    assertEquals(lines({ ...REQUEST, scope: "user" }, mac), [
      "security add-trusted-cert -r trustRoot -k /Users/me/Library/Keychains/login.keychain-db /state/ca/ca.pem",
    ]);
    assertEquals(lines(UNTRUST, { ...mac, isRoot: true }), [
      "security remove-trusted-cert -d /state/ca/ca.pem",
      `security delete-certificate -Z ${"AB".repeat(20)} /Library/Keychains/System.keychain`,
    ]);
    assertMatch(trustPlan({ ...REQUEST, scope: "user" }, { ...mac, home: null }).obstacle ?? "", /set HOME/);
  },
});

Deno.test("trustPlan on Windows uses the machine's store, or the user's own", () => {
  const windows = { ...BARE, platform: "windows", home: null };
  const request = { ...REQUEST, certPath: "C:\\Users\\Me Too\\ca.pem" };
  assertEquals(lines(request, windows), ['certutil.exe -addstore Root "C:\\Users\\Me Too\\ca.pem"']);
  assertEquals(lines({ ...UNTRUST, scope: "user" }, windows), [
    `certutil.exe -user -delstore Root ${"ab".repeat(20)}`,
  ]);
  assertMatch(trustPlan(REQUEST, windows).hints.join(), /administrator/);
});

Deno.test("trustPlan on another system says that there is no recipe", () => {
  assertMatch(
    trustPlan(REQUEST, { ...BARE, platform: "freebsd" }).obstacle ?? "",
    /no recipe for freebsd.*ca\.pem/,
  );
});

Deno.test("shellLine quotes what a shell would take apart", () => {
  assertEquals(shellLine(["a", "b c", "d'e", "$(f)", ""], "linux"), `a 'b c' 'd'\\''e' '$(f)' ''`);
  assertEquals(shellLine(["a", "b c", "C:\\d"], "windows"), `a "b c" C:\\d`);
});

Deno.test({
  name: "probeSystem reports what it may not look at",
  permissions: "none",
  fn: async () => {
    const facts = await probeSystem("linux");
    assertEquals([facts.anchors, facts.home, facts.isRoot, facts.hasCertutil], [null, null, false, false]);
    assertMatch(facts.missingGrants.join(" "), /--allow-env=HOME.*--allow-read=/);
    assertEquals((await probeSystem("windows")).isRoot, false);
  },
});

Deno.test("probeSystem finds the databases of Chromium and the profiles of Firefox", async () => {
  const home = await Deno.makeTempDir({ prefix: "soth-mitm-home-" });
  const before = Deno.env.get("HOME");
  try {
    const made = [".pki/nssdb", ".mozilla/firefox/abc.default"].map((path) => `${home}/${path}`);
    for (const path of made) {
      await Deno.mkdir(path, { recursive: true });
      await Deno.writeTextFile(`${path}/cert9.db`, "");
    }
    await Deno.mkdir(`${home}/.mozilla/firefox/Crash Reports`);
    Deno.env.set("HOME", home);
    const { nssDatabases } = await probeSystem("linux");
    assertEquals(nssDatabases.map((path) => path.replaceAll("\\", "/")), made.toSorted());
  } finally {
    if (before === undefined) Deno.env.delete("HOME");
    else Deno.env.set("HOME", before);
    await Deno.remove(home, { recursive: true });
  }
});
