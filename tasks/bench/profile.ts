/** Reads a V8 CPU profile (`deno run --cpu-prof`) and says where a program's own time went. */

export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: {
      readonly functionName: string;
      readonly url: string;
      readonly lineNumber: number;
    };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

export interface SelfTime {
  readonly name: string;
  /** File and line, shortened; empty for the runtime's own entries. */
  readonly place: string;
  readonly selfMs: number;
  /** Of the time that was not idle. */
  readonly share: number;
}

/** The functions with the most time of their own, the most first. Idle time is left out. */
export function topSelfTimes(profile: CpuProfile, count: number): SelfTime[] {
  const byId = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const totals = new Map<string, { name: string; place: string; us: number }>();
  let busyUs = 0;
  profile.samples.forEach((id, index) => {
    const frame = byId.get(id);
    const us = profile.timeDeltas[index] ?? 0;
    if (frame === undefined || frame.functionName === "(idle)" || us <= 0) return;
    busyUs += us;
    const name = frame.functionName || "(anonymous)";
    const place = frame.url === "" ? "" : `${shortened(frame.url)}:${frame.lineNumber + 1}`;
    const key = `${name} ${place}`;
    const total = totals.get(key);
    if (total === undefined) totals.set(key, { name, place, us });
    else total.us += us;
  });
  return [...totals.values()].sort((a, b) => b.us - a.us).slice(0, count)
    .map(({ name, place, us }) => ({ name, place, selfMs: us / 1000, share: us / busyUs }));
}

function shortened(url: string): string {
  const own = url.lastIndexOf("/src/");
  return url.startsWith("file:") && own !== -1
    ? url.slice(own + 1)
    : url.replace(/^.*\/(?=[^/]+\/[^/]+$)/, "");
}
