import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import fc from "fast-check";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { connect, createServer } from "node:tls";
import { fileURLToPath } from "node:url";
import { assert } from "../../src/core/assert.ts";
import { managedFiles, rotateManagedCa } from "../../src/runtime/ca_files.ts";
import {
  caRecipe,
  type CertificateAuthority,
  type Leaf,
  type LeafError,
  locateCa,
  openCertificateAuthority,
} from "../../src/runtime/ca_store.ts";
import { StartError } from "../../src/runtime/start_error.ts";
import { readCertificate } from "../../src/tls/certificate_reader.ts";
import { decodePem } from "../../src/tls/pem.ts";
import { caSettings, withStateDir } from "../support/ca_settings.ts";
import { makeAuthority } from "../support/certificates.ts";

const ON_WINDOWS = Deno.build.os === "windows";
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

function minted(result: Leaf | LeafError): Leaf {
  if ("error" in result) throw new Error(result.detail);
  return result;
}

/** A clock that stands until it is moved. */
function standingClock() {
  const clock = { nowMs: Date.now(), read: () => clock.nowMs };
  return clock;
}

function withCa(
  tls: Readonly<Record<string, unknown>>,
  work: (
    ca: CertificateAuthority,
    clock: ReturnType<typeof standingClock>,
    stateDir: string,
  ) => Promise<void> | void,
): Promise<void> {
  return withStateDir(async (stateDir) => {
    const clock = standingClock();
    const ca = await openCertificateAuthority(caSettings(stateDir, tls), { wallClock: clock.read });
    await work(ca, clock, stateDir);
  });
}

Deno.test("openCertificateAuthority makes a CA on the first run and opens the same one afterwards", () =>
  withCa({ ca_common_name: "My CA", ca_organization: "Me" }, async (ca, _clock, stateDir) => {
    assertEquals(ca.certPath, managedFiles(stateDir).certPath);
    assertEquals(Deno.readTextFileSync(ca.certPath), ca.certPem);
    assertEquals(new X509Certificate(ca.certPem).subject, "O=Me\nCN=My CA");
    assertMatch(ca.notice.join("\n"), /^Made a certificate authority/);
    const again = await openCertificateAuthority(caSettings(stateDir, { ca_common_name: "Another name" }));
    assertEquals(again.fingerprint, ca.fingerprint);
    assertEquals(again.notice, []);
  }));

Deno.test("leaf is for the host as the client wrote it, signed by the CA, with a key of its own", () =>
  withCa({}, (ca) => {
    const leaf = minted(ca.leaf("WWW.Bücher.example."));
    const certificate = new X509Certificate(leaf.certPem);
    const root = new X509Certificate(ca.certPem);
    assertEquals(certificate.subjectAltName, "DNS:www.xn--bcher-kva.example");
    assert(certificate.verify(root.publicKey), "the CA signed it");
    assert(!ca.certPem.includes(leaf.keyPem), "its key is not the CA's");
    assertEquals(certificate.publicKey.asymmetricKeyDetails?.namedCurve, "prime256v1");
    assertEquals(decodePem(leaf.certPem)?.length, 1);
  }));

Deno.test("leaf gives each certificate a serial number of its own", () =>
  withCa({ leaf_cache_capacity: 0 }, (ca) => {
    const serials = Array.from(
      { length: 50 },
      () => new X509Certificate(minted(ca.leaf("a.example")).certPem).serialNumber,
    );
    assertEquals(new Set(serials).size, 50);
    for (const serial of serials) assertMatch(serial, /^[4-7][0-9A-F]{31}$/);
  }));

Deno.test("leaf answers hostile names by an error and goes on", () =>
  withCa({}, (ca) => {
    for (const host of ["", "a\0b.example", "*", "x".repeat(300), "a..b", "[::1", "\ud800"]) {
      assert("error" in ca.leaf(host), JSON.stringify(host));
    }
    fc.assert(fc.property(fc.string({ unit: "binary", maxLength: 40 }), (host) => {
      ca.leaf(host);
    }));
    assertEquals(minted(ca.leaf("a.example")).cache, "miss");
  }));

Deno.test("leaf mints once, however many connections wait for the same new name", () =>
  withCa({}, async (ca) => {
    const gate = Promise.withResolvers<void>();
    const waiting = Array.from({ length: 500 }, async (_, index) => {
      await gate.promise;
      return minted(ca.leaf(index % 2 === 0 ? "new.example" : "NEW.example."));
    });
    gate.resolve();
    const leaves = await Promise.all(waiting);
    assertEquals(ca.counters, { hits: 499, misses: 1, minted: 1 });
    assertEquals(leaves.filter(({ cache }) => cache === "miss").length, 1);
    assertEquals(new Set(leaves.map(({ key }) => key)).size, 1);
    assertEquals(new Set(leaves.map(({ certPem }) => certPem)).size, 1);
  }));

Deno.test("leaf keeps as many certificates as tls.leaf_cache_capacity and mints the one more again", () =>
  withCa({ leaf_cache_capacity: 2 }, (ca) => {
    const cache = (host: string) => minted(ca.leaf(host)).cache;
    assertEquals([cache("a.example"), cache("b.example")], ["miss", "miss"]);
    assertEquals([cache("a.example"), cache("b.example")], ["hit", "hit"]);
    assertEquals(cache("c.example"), "miss");
    assertEquals([cache("b.example"), cache("a.example")], ["hit", "miss"]);
    assertEquals(ca.counters, { hits: 3, misses: 4, minted: 4 });
  }));

Deno.test("leaf with a capacity of 0 mints each time", () =>
  withCa({ leaf_cache_capacity: 0 }, (ca) => {
    const [first, second] = [minted(ca.leaf("a.example")), minted(ca.leaf("a.example"))];
    assertEquals([first.cache, second.cache], ["miss", "miss"]);
    assert(first.key !== second.key, "each has an identity");
    assertEquals(ca.counters, { hits: 0, misses: 2, minted: 2 });
  }));

Deno.test("leaf is made anew a day before it ends, and never given expired", () =>
  withCa({}, (ca, clock) => {
    const facts = (leaf: Leaf) => readCertificate(decodePem(leaf.certPem)![0]!.der)!;
    const first = minted(ca.leaf("a.example"));
    const endsMs = facts(first).notAfterSeconds * 1000;
    assertEquals(endsMs, Math.floor(clock.nowMs / 1000) * 1000 - HOUR_MS + 197 * DAY_MS - 1000);
    clock.nowMs = endsMs - DAY_MS - 1;
    assertEquals(minted(ca.leaf("a.example")).cache, "hit");
    clock.nowMs = endsMs - DAY_MS;
    const second = minted(ca.leaf("a.example"));
    assertEquals(second.cache, "miss");
    assert(second.key !== first.key, "what hung on the first is not reused");
    assert(facts(second).notAfterSeconds * 1000 > endsMs, "it lasts longer");
  }));

Deno.test("leaf ends with its CA, is still cached then, and after that there is none", () =>
  withCa({}, (ca, clock) => {
    const endsMs = readCertificate(decodePem(ca.certPem)![0]!.der)!.notAfterSeconds * 1000;
    clock.nowMs = endsMs - HOUR_MS;
    const leaf = minted(ca.leaf("a.example"));
    assertEquals(readCertificate(decodePem(leaf.certPem)![0]!.der)!.notAfterSeconds * 1000, endsMs);
    assertEquals(minted(ca.leaf("a.example")).cache, "hit");
    clock.nowMs = endsMs + 1000;
    const late = ca.leaf("a.example");
    assert("error" in late, "there is none");
    assertEquals(late.error, "ca_expired");
  }));

Deno.test("compat makes an RSA CA and RSA leaves, and warns where the CA is older than the profile", async () => {
  await withCa({ downstream_cert_profile: "compat" }, (ca) => {
    const leaf = new X509Certificate(minted(ca.leaf("old.example")).certPem);
    assertEquals(leaf.publicKey.asymmetricKeyDetails?.modulusLength, 2048);
    assertEquals(new X509Certificate(ca.certPem).publicKey.asymmetricKeyType, "rsa");
    assert(!ca.notice.join().includes("elliptic"), "nothing to warn of");
  });
  await withCa({}, async (_modern, _clock, stateDir) => {
    const ca = await openCertificateAuthority(caSettings(stateDir, { downstream_cert_profile: "compat" }));
    const leaf = new X509Certificate(minted(ca.leaf("old.example")).certPem);
    assertEquals(leaf.publicKey.asymmetricKeyType, "rsa");
    assert(leaf.verify(new X509Certificate(ca.certPem).publicKey), "the P-256 CA signed it");
    assertMatch(ca.notice.join(), /elliptic-curve key.*ca rotate/);
  });
});

Deno.test("openCertificateAuthority rotates a CA that is older than tls.ca_rotate_after", () =>
  withCa({}, async (young, clock, stateDir) => {
    const settings = caSettings(stateDir, { ca_rotate_after: "10d" });
    const madeMs = Math.floor(clock.nowMs / 1000) * 1000;
    const before = await openCertificateAuthority(settings, { wallClock: () => madeMs + 10 * DAY_MS - 1 });
    assertEquals(before.fingerprint, young.fingerprint);
    const after = await openCertificateAuthority(settings, { wallClock: () => madeMs + 10 * DAY_MS });
    assert(after.fingerprint !== young.fingerprint, "it is another");
    assertMatch(after.notice.join(), /Rotated the CA.*old certificate is .*ca-[0-9a-f]{16}\.pem/);
  }));

Deno.test("maybeRotate keeps, rotates by age and forgets the leaves of the old CA", () =>
  withCa({ ca_rotate_after: "10d" }, async (ca, clock) => {
    const old = { pem: ca.certPem, leaf: minted(ca.leaf("a.example")) };
    assertEquals(await ca.maybeRotate(clock.nowMs + 9 * DAY_MS), { outcome: "kept", notice: null });
    clock.nowMs += 11 * DAY_MS;
    const { outcome, notice } = await ca.maybeRotate(clock.nowMs);
    assertEquals(outcome, "rotated");
    assertMatch(notice ?? "", /clients have to trust/);
    const leaf = minted(ca.leaf("a.example"));
    assertEquals(leaf.cache, "miss");
    assert(leaf.key !== old.leaf.key, "another identity");
    assert(
      new X509Certificate(leaf.certPem).verify(new X509Certificate(ca.certPem).publicKey),
      "the new CA's",
    );
    assert(
      !new X509Certificate(leaf.certPem).verify(new X509Certificate(old.pem).publicKey),
      "not the old one's",
    );
    assertEquals((await ca.maybeRotate(clock.nowMs)).outcome, "kept");
  }));

Deno.test("maybeRotate takes over the CA that another process made", () =>
  withCa({}, async (ca, clock, stateDir) => {
    const settings = caSettings(stateDir);
    const { material } = await rotateManagedCa(managedFiles(stateDir), caRecipe(settings), clock.nowMs, null);
    assertEquals((await ca.maybeRotate(clock.nowMs)).outcome, "adopted");
    assertEquals(ca.fingerprint, material.fingerprint);
  }));

Deno.test("maybeRotate of two proxies on one state directory makes one new CA", () =>
  withCa({ ca_rotate_after: "10d" }, async (ca, clock, stateDir) => {
    const other = await openCertificateAuthority(caSettings(stateDir, { ca_rotate_after: "10d" }));
    const later = clock.nowMs + 20 * DAY_MS;
    const outcomes = await Promise.all([ca.maybeRotate(later), other.maybeRotate(later)]);
    assertEquals(outcomes.map(({ outcome }) => outcome).sort(), ["adopted", "rotated"]);
    assertEquals(ca.fingerprint, other.fingerprint);
  }));

Deno.test("maybeRotate that cannot write says so and goes on with the CA it has", () =>
  withCa({ ca_rotate_after: "10d" }, async (ca, clock, stateDir) => {
    await Deno.remove(stateDir, { recursive: true });
    await Deno.writeTextFile(stateDir, "a file where a directory was");
    const { outcome, notice } = await ca.maybeRotate(clock.nowMs + 20 * DAY_MS);
    assertEquals(outcome, "failed");
    assert(notice !== null && notice.includes(stateDir), "it names the place");
    minted(ca.leaf("a.example"));
  }));

interface Pair {
  readonly cert: string;
  readonly key: string;
  readonly keyMode?: number;
  readonly clockMs?: number;
}

/** Opens a configured pair from files of its own; null for a file that is not there. */
async function openPair(pair: Pair): Promise<CertificateAuthority> {
  const directory = await Deno.makeTempDir({ prefix: "soth-mitm-pair-" });
  try {
    const [certPath, keyPath] = [`${directory}/my-ca.pem`, `${directory}/my-ca.key`];
    await Deno.writeTextFile(certPath, pair.cert);
    await Deno.writeTextFile(keyPath, pair.key, { mode: pair.keyMode ?? 0o600 });
    if (!ON_WINDOWS) await Deno.chmod(keyPath, pair.keyMode ?? 0o600);
    return await openCertificateAuthority(
      caSettings(`${directory}/state`, { ca_cert_path: certPath, ca_key_path: keyPath }),
      { wallClock: () => pair.clockMs ?? Date.now() },
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

async function pairRefusal(pair: Pair): Promise<string> {
  const error = await assertRejects(() => openPair(pair), StartError) as StartError;
  assertEquals(error.exitClass, "proxy_init_failed");
  assertMatch(error.message, /my-ca\.(pem|key).*; to mend it, .+/s);
  return error.message;
}

Deno.test("openCertificateAuthority warns of a CA that ends within two weeks", () =>
  withCa({}, async (ca, _clock, stateDir) => {
    const endsMs = readCertificate(decodePem(ca.certPem)![0]!.der)!.notAfterSeconds * 1000;
    const notice = async (nowMs: number) =>
      (await openCertificateAuthority(caSettings(stateDir), { wallClock: () => nowMs })).notice.join();
    assertEquals(await notice(endsMs - 14 * DAY_MS), "");
    assertMatch(await notice(endsMs - 14 * DAY_MS + 1), /expires at 20\d\d-/);
    const error = await assertRejects(() => notice(endsMs + 1000), StartError);
    assertMatch((error as StartError).message, /ca\.pem .*expired at .*run: soth-mitm ca rotate/);
  }));

Deno.test("openCertificateAuthority takes a configured pair of any kind that clients accept", async () => {
  for (const keyType of ["ec", "rsa"] as const) {
    const { certPem: cert, keyPem: key, fingerprint } = makeAuthority("Mine", keyType);
    const ca = await openPair({ cert: `Explanation\n${cert}`, key });
    assertEquals(ca.fingerprint, fingerprint);
    assertEquals(ca.notice, []);
    const leaf = new X509Certificate(minted(ca.leaf("a.example")).certPem);
    assert(leaf.checkIssued(new X509Certificate(cert)), "issued by it");
    assert(leaf.verify(new X509Certificate(cert).publicKey), "signed by it");
    assertEquals(await ca.maybeRotate(Date.now() + 100 * DAY_MS), { outcome: "kept", notice: null });
  }
});

Deno.test("leaf of an issued CA brings the CA's certificate along", async () => {
  const { certPem: cert, keyPem: key } = makeAuthority("Root").issue({
    commonName: "Below",
    isAuthority: true,
  });
  const blocks = decodePem(minted((await openPair({ cert, key })).leaf("a.example")).certPem);
  assertEquals(blocks?.length, 2);
  assertEquals(blocks?.[1]?.der, decodePem(cert)?.[0]?.der);
});

Deno.test("openCertificateAuthority refuses each kind of bad pair by file, finding and mend", async () => {
  const { certPem: cert, keyPem: key } = makeAuthority();
  const issued = makeAuthority().issue({ names: ["a.example"] });
  const notBefore = new Date(Date.now() + DAY_MS);
  const expired = makeAuthority().issue({
    isAuthority: true,
    notBefore: new Date(Date.now() - 9 * DAY_MS),
    notAfter: new Date(Date.now() - DAY_MS),
  });
  const early = makeAuthority().issue({ isAuthority: true, notBefore });
  const weak = String(
    generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey.export({ format: "pem", type: "pkcs8" }),
  );
  const edwards = String(
    generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }),
  );
  const damaged = cert.replace(/\n[A-Za-z0-9+/]/, "\n*");
  const truncated = cert.replace("-----END CERTIFICATE-----", "");
  const cases: [string, Pair, RegExp][] = [
    ["another's key", { cert, key: makeAuthority().keyPem }, /my-ca\.key .*does not belong to.*my-ca\.pem/],
    ["a leaf", { cert: issued.certPem, key: issued.keyPem }, /my-ca\.pem .*not a CA certificate/],
    ["expired", { cert: expired.certPem, key: expired.keyPem }, /my-ca\.pem .*expired at 20\d\d-.*Z/],
    ["not yet valid", { cert: early.certPem, key: early.keyPem }, /my-ca\.pem .*valid only from.*clock/],
    ["two certificates", { cert: cert + cert, key }, /my-ca\.pem .*holds 2 certificates/],
    ["no certificate", { cert: key, key }, /my-ca\.pem .*a PRIVATE KEY block where a PEM certificate/],
    ["no key", { cert, key: cert }, /my-ca\.key .*a CERTIFICATE block where a PEM private key/],
    ["empty certificate", { cert: "", key }, /my-ca\.pem .*no PEM block/],
    ["empty key", { cert, key: "" }, /my-ca\.key .*no PEM block/],
    ["damaged PEM", { cert: damaged, key }, /my-ca\.pem .*PEM is damaged/],
    ["truncated PEM", { cert: truncated, key }, /my-ca\.pem .*PEM is damaged/],
    [
      "not X.509",
      { cert: "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key },
      /my-ca\.pem .*no X\.509/,
    ],
    [
      "not a key",
      { cert, key: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" },
      /my-ca\.key .*cannot be read/,
    ],
    [
      "encrypted key",
      { cert, key: "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n" },
      /my-ca\.key .*encrypted.*openssl pkey/,
    ],
    ["1024 bits", { cert, key: weak }, /my-ca\.key .*kind \(rsa\).*2048 bits/],
    ["Ed25519", { cert, key: edwards }, /my-ca\.key .*kind \(ed25519\)/],
  ];
  if (!ON_WINDOWS) {
    cases.push(
      ["group may read", { cert, key, keyMode: 0o640 }, /my-ca\.key .*mode 0640.*chmod 600/],
      ["others may read", { cert, key, keyMode: 0o604 }, /my-ca\.key .*mode 0604.*chmod 600/],
    );
  }
  for (const [name, pair, expected] of cases) assertMatch(await pairRefusal(pair), expected, name);
});

Deno.test("openCertificateAuthority refuses a pair whose files are not there", async () => {
  const settings = caSettings("/nowhere/state", {
    ca_cert_path: "/nowhere/c.pem",
    ca_key_path: "/nowhere/k.pem",
  });
  const error = await assertRejects(() => openCertificateAuthority(settings), StartError);
  assertMatch((error as StartError).message, /c\.pem .*no such file/);
});

Deno.test("locateCa refuses one of two paths as config_invalid, by key", () => {
  for (const [key, other] of [["ca_cert_path", "ca_key_path"], ["ca_key_path", "ca_cert_path"]] as const) {
    let caught: unknown;
    // The loader refuses it too; a library's caller may come without it.
    const settings = caSettings("/state");
    const one = key === "ca_cert_path" ? { caCertPath: "/x.pem" } : { caKeyPath: "/x.pem" };
    try {
      locateCa({ ...settings, tls: { ...settings.tls, ...one } });
    } catch (error) {
      caught = error;
    }
    assert(caught instanceof StartError && caught.exitClass === "config_invalid", "refused");
    assertMatch(caught.message, new RegExp(`tls\\.${key} = "/x\\.pem" is set without tls\\.${other}`));
  }
});

Deno.test("caRecipe takes names of 1 to 64 characters without control characters", () => {
  const settings = caSettings("/state");
  const recipe = (name: string) => caRecipe({ ...settings, tls: { ...settings.tls, caCommonName: name } });
  assertEquals(recipe("x".repeat(64)).commonName.length, 64);
  for (const name of ["", "x".repeat(65), "a\nb", "a\x7f"]) {
    try {
      recipe(name);
    } catch (error) {
      assert(error instanceof StartError && error.exitClass === "config_invalid", name);
      assertMatch(error.message, /tls\.ca_common_name = .*1 to 64 characters/);
      continue;
    }
    throw new Error(`${JSON.stringify(name)} was taken`);
  }
});

function spawnRacer(...args: string[]): Deno.ChildProcess {
  const script = fileURLToPath(new URL("../support/ca_racer.ts", import.meta.url));
  return new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--no-check", "-A", script, ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
}

async function startRacer({ stdin }: Deno.ChildProcess): Promise<void> {
  const writer = stdin.getWriter();
  await writer.write(Uint8Array.of(10));
  await writer.close();
}

/** Starts processes that all wait, lets them open the CA at the same moment, and gives what each got. */
async function race(stateDir: string, count: number, rotateAfter: string) {
  const children = Array.from({ length: count }, () => spawnRacer("open", stateDir, rotateAfter));
  const readers = children.map(({ stdout }) => stdout.pipeThrough(new TextDecoderStream()).getReader());
  for (const reader of readers) assertEquals((await reader.read()).value, "ready\n");
  await Promise.all(children.map(startRacer));
  const results = await Promise.all(readers.map(async (reader) => {
    let text = "";
    for (let part = await reader.read(); !part.done; part = await reader.read()) text += part.value;
    return JSON.parse(text) as { fingerprint: string; caPem: string; leafPem: string };
  }));
  for (const { status } of children) assertEquals((await status).code, 0);
  return results;
}

Deno.test("processes that start at once on one state directory end with one CA and its key, also when it is too old", () =>
  withStateDir(async (stateDir) => {
    const check = (results: Awaited<ReturnType<typeof race>>) => {
      assertEquals(new Set(results.map(({ fingerprint }) => fingerprint)).size, 1);
      const root = new X509Certificate(Deno.readTextFileSync(managedFiles(stateDir).certPath));
      for (const { caPem, leafPem } of results) {
        assertEquals(new X509Certificate(caPem).fingerprint256, root.fingerprint256);
        assert(new X509Certificate(leafPem).verify(root.publicKey), "each has the matching key");
      }
    };
    const first = await race(stateDir, 4, "0s");
    check(first);
    const files = managedFiles(stateDir);
    // A CA made 40 days ago, which all of them find too old.
    await Deno.remove(files.directory, { recursive: true });
    const old = await openCertificateAuthority(caSettings(stateDir), {
      wallClock: () => Date.now() - 40 * DAY_MS,
    });
    const second = await race(stateDir, 4, "30d");
    check(second);
    assert(second[0]!.fingerprint !== old.fingerprint, "it was rotated");
    assertEquals([...Deno.readDirSync(files.directory)].filter(({ name }) => /^ca-/.test(name)).length, 1);
  }));

Deno.test("a process that is killed while it rotates leaves a CA that opens, its key matching", () =>
  withStateDir(async (stateDir) => {
    const files = managedFiles(stateDir);
    for (let round = 1; round <= 5; round++) {
      const child = spawnRacer("rotate", stateDir);
      const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
      assertEquals((await reader.read()).value, "ready\n");
      await startRacer(child);
      // The kill meets it anywhere in one of the rotations that follow.
      for (let lines = 0; lines < round; lines++) await reader.read();
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
      const ca = await openCertificateAuthority(caSettings(stateDir));
      const root = new X509Certificate(Deno.readTextFileSync(files.certPath));
      assertEquals(root.fingerprint256.replaceAll(":", "").toLowerCase(), ca.fingerprint);
      assert(new X509Certificate(minted(ca.leaf("a.example")).certPem).verify(root.publicKey), "it matches");
    }
    await rotateManagedCa(files, caRecipe(caSettings(stateDir)), Date.now(), null);
    assertEquals([...Deno.readDirSync(files.directory)].filter(({ name }) => name.endsWith(".tmp")), []);
  }));

/** What a client that trusts only this CA reads from a server with this leaf. */
async function greet(ca: CertificateAuthority, leaf: Leaf, host: string): Promise<string> {
  const server = createServer({ cert: leaf.certPem, key: leaf.keyPem }, (socket) => socket.end("hello"));
  // A client that refuses the certificate ends the handshake; that is its affair.
  server.on("tlsClientError", () => {});
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const isAddress = host === "127.0.0.1";
  try {
    return await new Promise<string>((resolve, reject) => {
      const socket = connect({
        host: "127.0.0.1",
        port,
        ca: ca.certPem,
        ...(isAddress ? {} : { servername: host }),
      });
      let text = "";
      socket.on("data", (data: Uint8Array) => text += String(data));
      socket.on("end", () => resolve(text));
      socket.on("error", reject);
    });
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}

Deno.test("a TLS client that trusts the CA takes its leaves, by name and by address, in both profiles", async () => {
  const hosts = [
    "www.example.com",
    "xn--bcher-kva.example",
    "127.0.0.1",
    `${"a".repeat(62)}.${"b".repeat(62)}.example`,
  ];
  for (const profile of ["modern", "compat"]) {
    await withCa({ downstream_cert_profile: profile }, async (ca) => {
      for (const host of hosts) {
        assertEquals(await greet(ca, minted(ca.leaf(host)), host), "hello", `${profile} ${host}`);
      }
      const wildcard = minted(ca.leaf("*.example.com"));
      assertEquals(await greet(ca, wildcard, "deep.example.com"), "hello");
      await assertRejects(() => greet(ca, wildcard, "other.example"));
      await assertRejects(() => greet(ca, minted(ca.leaf("127.0.0.2")), "127.0.0.1"));
    });
  }
});
