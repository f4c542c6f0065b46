/**
 * Captured bytes as event attributes: `data` where they are UTF-8 (RFC 3629), else `data_base64`
 * (RFC 4648 §4, padded). Which of the two depends on the bytes of this event alone, so a character cut
 * in half by a span's end gives base64; nothing is ever replaced or lost.
 */
export type PayloadAttributes = { readonly data: string } | { readonly data_base64: string };

export function payloadAttributes(bytes: Uint8Array): PayloadAttributes {
  if (startsAsUtf8(bytes)) {
    try {
      return { data: utf8.decode(bytes) };
    } catch {
      // Text at first, something else later.
    }
  }
  return { data_base64: bytes.toBase64() };
}

// A byte order mark is part of what was sent.
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Binary data nearly always shows within this many bytes; a scan spares it the far costlier exception. */
const PROBE_BYTES = 128;

/** False where the first octets show that it is none. */
export function startsAsUtf8(bytes: Uint8Array): boolean {
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
