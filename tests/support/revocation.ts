/** What says of a certificate that it is revoked, made by openssl in a folder of its own. */
import { run, tool } from "./tools.ts";

export interface Revocation {
  /** Paths: the list that has it (RFC 5280 §5), in PEM, and the answer that a server staples (RFC 6960), in DER. */
  readonly crl: string;
  readonly staple: string;
}

export interface RevocationOptions {
  readonly issuerPem: string;
  readonly issuerKeyPem: string;
  readonly certPem: string;
}

export async function revoke({ issuerPem, issuerKeyPem, certPem }: RevocationOptions): Promise<Revocation> {
  const folder = await Deno.makeTempDir({ prefix: "soth-mitm-revoked-" });
  const at = (name: string) => `${folder}/${name}`;
  const openssl = async (...args: string[]) => {
    const { code, stdout, stderr } = await run(tool("openssl"), args, { cwd: folder });
    if (code !== 0) throw new Error(`openssl ${args.join(" ")}: ${stdout}${stderr}`);
    return stdout;
  };
  await Deno.writeTextFile(at("issuer.pem"), issuerPem);
  await Deno.writeTextFile(at("issuer.key"), issuerKeyPem, { mode: 0o600 });
  await Deno.writeTextFile(at("cert.pem"), certPem);
  await Deno.writeTextFile(
    at("ca.cnf"),
    "[ca]\ndefault_ca = own\n[own]\ndatabase = index.txt\ncrlnumber = crlnumber\ndefault_md = sha256\n" +
      "default_crl_days = 30\n",
  );
  await Deno.writeTextFile(at("crlnumber"), "01\n");
  const serial = (await openssl("x509", "-in", "cert.pem", "-noout", "-serial")).trim().split("=")[1]!;
  // Status, end, when it was revoked, serial, file and name, as openssl's own data base has them.
  await Deno.writeTextFile(at("index.txt"), `R\t491231235959Z\t240101000000Z\t${serial}\tunknown\t/CN=x\n`);
  const issuer = ["-keyfile", "issuer.key", "-cert", "issuer.pem"];
  await openssl("ca", "-config", "ca.cnf", "-gencrl", ...issuer, "-out", "crl.pem");
  await openssl(
    ...["ocsp", "-issuer", "issuer.pem", "-cert", "cert.pem", "-no_nonce", "-reqout", "request.der"],
  );
  await openssl(
    ...["ocsp", "-index", "index.txt", "-CA", "issuer.pem", "-rsigner", "issuer.pem", "-rkey", "issuer.key"],
    ...["-reqin", "request.der", "-respout", "staple.der", "-ndays", "30"],
  );
  return { crl: at("crl.pem"), staple: at("staple.der") };
}
