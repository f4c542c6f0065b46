/**
 * Captured bytes as event attributes: `data` where they are UTF-8 (RFC 3629), else `data_base64`
 * (RFC 4648 §4, padded). Which of the two depends on the bytes of this event alone, so a character cut
 * in half by a span's end gives base64; nothing is ever replaced or lost.
 */
import { decodeUtf8 } from "../core/utf8.ts";

export type PayloadAttributes = { readonly data: string } | { readonly data_base64: string };

export function payloadAttributes(bytes: Uint8Array): PayloadAttributes {
  const data = decodeUtf8(bytes);
  return data === null ? { data_base64: bytes.toBase64() } : { data };
}
