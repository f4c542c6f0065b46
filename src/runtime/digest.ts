/** The platform's SHA-256, piece by piece. */
import { createHash } from "node:crypto";
import type { Digest } from "../observe/digest.ts";

export function openSha256(): Digest {
  const hash = createHash("sha256");
  return {
    update: (bytes) => void hash.update(bytes),
    finish: () => hash.digest("hex"),
  };
}
