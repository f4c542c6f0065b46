/** PEM, the textual encoding of RFC 7468: blocks of base64 between BEGIN and END lines, anything else around them. */
import untypedPem from "node-forge/lib/pem.js";
import { binaryString, bytesOf } from "./asn1.ts";

export interface PemBlock {
  readonly label: string;
  /** The block from BEGIN to END, written anew and without the headers it may have had. */
  readonly text: string;
  /** Its headers say so, as in keys that are encrypted the old way (RFC 1421 §4.6.1.1). */
  readonly encrypted: boolean;
  readonly der: Uint8Array;
}

/** PEM files of a certificate authority take a few kilobytes. */
export const MAX_PEM_LENGTH = 1024 * 1024;

/** One block, in lines of 64 characters (§2). */
export function encodePem(label: string, der: Uint8Array): string {
  return write(label, binaryString(der));
}

/**
 * Every block of a text, in order; text between blocks is explanation (§2) and skipped. A block that never
 * ends, ends as something else or holds more than base64 makes the whole text unreadable: null.
 */
export function decodePem(text: string): PemBlock[] | null {
  if (text.length > MAX_PEM_LENGTH) return null;
  const begun = text.split(BEGIN).length - 1;
  if (begun === 0) return [];
  try {
    const messages = pem.decode(text);
    // Forge skips the blocks that it cannot read.
    if (messages.length !== begun) return null;
    return messages.map(({ type, procType, body }) => ({
      label: type,
      text: write(type, body),
      encrypted: procType?.type.includes("ENCRYPTED") ?? false,
      der: bytesOf(body),
    }));
  } catch {
    return null;
  }
}

const BEGIN = "-----BEGIN ";

function write(type: string, body: string): string {
  return pem.encode({ type, body }).replaceAll("\r\n", "\n");
}

// What is used of node-forge, which comes without types. Bodies are binary strings.

interface ForgePem {
  encode(message: { readonly type: string; readonly body: string }): string;
  decode(text: string): readonly {
    readonly type: string;
    readonly procType: { readonly type: string } | null;
    readonly body: string;
  }[];
}

const pem = untypedPem as ForgePem;
