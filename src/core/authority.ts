/** Where a flow or an exchange goes (RFC 9110 §7.2): `host` is lower-case and unbracketed, ASCII (IDNs as A-labels). */
export interface Authority {
  readonly host: string;
  readonly port: number;
}

/** `host:port`, with IPv6 hosts in brackets. */
export function formatAuthority({ host, port }: Authority): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
