/**
 * One of several processes at work on the CA of the same state directory: says `ready`, waits for a line,
 * then opens the CA and tells what it got, or rotates it over and over until it is killed.
 * Arguments: `open` or `rotate`, the state directory, `tls.ca_rotate_after`.
 */
import { managedFiles, rotateManagedCa } from "../../src/runtime/ca_files.ts";
import { caRecipe, openCertificateAuthority } from "../../src/runtime/ca_store.ts";
import { caSettings } from "./ca_settings.ts";

if (import.meta.main) {
  const [task = "", stateDir = "", rotateAfter = "0s"] = Deno.args;
  const settings = caSettings(stateDir, { ca_rotate_after: rotateAfter });
  console.log("ready");
  await Deno.stdin.read(new Uint8Array(1));
  while (task === "rotate") {
    await rotateManagedCa(managedFiles(stateDir), caRecipe(settings), Date.now(), null);
    console.log("rotated");
  }
  const ca = await openCertificateAuthority(settings);
  const leaf = ca.leaf("race.example");
  if ("error" in leaf) throw new Error(leaf.detail);
  console.log(JSON.stringify({ fingerprint: ca.fingerprint, caPem: ca.certPem, leafPem: leaf.certPem }));
}
