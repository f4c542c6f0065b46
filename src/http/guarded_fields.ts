/**
 * The fields that say where a message ends, for whom it is, or what becomes of its connection. Whatever is let
 * through elsewhere, these are taken as RFC 9110, 9112 and 9113 have them or not at all: two readers that see
 * different ones see different messages.
 */
const GUARDED: ReadonlySet<string> = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "http2-settings",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** `name` in any case. */
export function isGuarded(name: string): boolean {
  return GUARDED.has(name.toLowerCase());
}
