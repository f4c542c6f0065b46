/** PEM, the textual encoding of RFC 7468: blocks of base64 between BEGIN and END lines, anything else around them. */

export interface PemBlock {
  readonly label: string;
  /** The block's text from BEGIN to END, as it stood. */
  readonly text: string;
  readonly der: Uint8Array;
}

/** One block, in lines of 64 characters (§2). */
export function encodePem(label: string, der: Uint8Array): string {
  let binary = "";
  for (let start = 0; start < der.length; start += 0x2000) {
    binary += String.fromCharCode(...der.subarray(start, start + 0x2000));
  }
  const base64 = btoa(binary);
  let body = "";
  for (let start = 0; start < base64.length; start += 64) body += base64.slice(start, start + 64) + "\n";
  return `-----BEGIN ${label}-----\n${body}-----END ${label}-----\n`;
}

/**
 * Every whole block of a text, in order; text between blocks is explanation (§2) and skipped.
 * A block that never ends, ends as something else or is not base64 makes the whole text unreadable: null.
 */
export function decodePem(text: string): PemBlock[] | null {
  const blocks: PemBlock[] = [];
  let label: string | null = null;
  let base64 = "";
  let lines: string[] = [];
  for (const line of text.split("\n")) {
    const trimmed = line.trim();
    if (label === null) {
      if (!trimmed.startsWith("-----BEGIN ") || !trimmed.endsWith("-----")) continue;
      label = trimmed.slice(11, -5);
      base64 = "";
      lines = [trimmed];
    } else if (trimmed.startsWith("-----")) {
      if (trimmed !== `-----END ${label}-----`) return null;
      const der = decodeBase64(base64);
      if (der === null) return null;
      blocks.push({ label, text: [...lines, trimmed, ""].join("\n"), der });
      label = null;
    } else {
      lines.push(trimmed);
      // RFC 1421 headers stand in keys that are encrypted the old way; they are kept in the text alone.
      if (!trimmed.includes(":")) base64 += trimmed;
    }
  }
  return label === null ? blocks : null;
}

function decodeBase64(base64: string): Uint8Array | null {
  try {
    const binary = atob(base64);
    const bytes = new Uint8Array(binary.length);
    for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
    return bytes;
  } catch {
    return null;
  }
}
