/**
 * Octets as text where they are UTF-8 (RFC 3629), and null where they are not. The platform's decoder that refuses
 * takes ten times as long as the one that replaces, and an exception much longer: so this replaces, and has what
 * shows a replacement character looked at again, since that may also stand there by itself.
 */

/** A byte order mark is part of what was sent. */
export function decodeUtf8(bytes: Uint8Array): string | null {
  if (!startsAsUtf8(bytes)) return null;
  const text = replacing.decode(bytes);
  return text.includes(REPLACEMENT) ? decodeStrictly(bytes) : text;
}

const REPLACEMENT = "\ufffd";
const replacing = new TextDecoder("utf-8", { ignoreBOM: true });
const refusing = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decodeStrictly(bytes: Uint8Array): string | null {
  try {
    return refusing.decode(bytes);
  } catch {
    return null;
  }
}

/** Binary data nearly always shows within this many bytes; a scan spares it the far costlier exception. */
const PROBE_BYTES = 128;

/** False where the first octets show that it is none. */
function startsAsUtf8(bytes: Uint8Array): boolean {
  const end = Math.min(bytes.length, PROBE_BYTES);
  let index = 0;
  while (index < end) {
    const lead = bytes[index]!;
    if (lead < 0x80) {
      index++;
      continue;
    }
    // RFC 3629 §4, without the finer bounds of the second byte, which are left to the decoder.
    const length = lead >= 0xc2 && lead <= 0xdf
      ? 2
      : lead >= 0xe0 && lead <= 0xef
      ? 3
      : lead >= 0xf0 && lead <= 0xf4
      ? 4
      : 0;
    if (length === 0 || index + length > bytes.length) return false;
    for (let offset = 1; offset < length; offset++) {
      if ((bytes[index + offset]! & 0xc0) !== 0x80) return false;
    }
    index += length;
  }
  return true;
}
