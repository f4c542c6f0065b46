/** How often handshakes failed, by host and reason; bounded, the host not seen for longest goes first. */
const HOSTS_MAX = 4096;

export class TlsFailureCounters {
  readonly #hosts = new Map<string, Map<string, number>>();

  count(host: string, reason: string): { reason: number; total: number } {
    const reasons = this.#hosts.get(host) ?? new Map<string, number>();
    this.#hosts.delete(host);
    this.#hosts.set(host, reasons);
    if (this.#hosts.size > HOSTS_MAX) this.#hosts.delete(this.#hosts.keys().next().value!);
    const ofReason = (reasons.get(reason) ?? 0) + 1;
    reasons.set(reason, ofReason);
    let total = 0;
    for (const count of reasons.values()) total += count;
    return { reason: ofReason, total };
  }
}
