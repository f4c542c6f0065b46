/** Which protocols of a client's offers (RFC 7301) an intercepted connection is served in. */

/** Beside `h2`; `curl --http1.0` offers the second alone. */
const HTTP1_ALPN: readonly string[] = ["http/1.1", "http/1.0"];

/** Those of the client's own offers that can be passed on. */
export function servedOffers(offered: readonly string[], http2: boolean): readonly string[] {
  return offered.filter((protocol) => HTTP1_ALPN.includes(protocol) || (protocol === "h2" && http2));
}

/**
 * The protocol for a client where the server has no say, being in the clear or not reached: HTTP/1.1, unless
 * the client speaks HTTP/2 alone.
 */
export function preferringHttp1(offers: readonly string[]): readonly string[] {
  const http1 = offers.filter((protocol) => HTTP1_ALPN.includes(protocol));
  return http1.length > 0 ? http1 : offers;
}

/** A protocol that the client does not offer, so that its handshake fails for want of one. */
export function notOffered(offered: readonly string[]): string {
  return ["h2", "http/1.1"].find((protocol) => !offered.includes(protocol)) ?? "none";
}
