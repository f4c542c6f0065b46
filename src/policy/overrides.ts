/**
 * Compatibility overrides: what holds for some hosts in place of the settings. The first whose hosts match is
 * taken, and none of them ever lets through what is blocked.
 */
import type { Decision, Question } from "../core/session.ts";
import type { HostOverride } from "../core/settings.ts";
import { compilePolicy } from "./rules.ts";

/** The decision with the override that has a say in it. */
export type Overrides = (decision: Decision, question: Question) => Decision;

export type CompiledOverrides =
  | { readonly type: "overrides"; readonly override: Overrides }
  | { readonly type: "error"; readonly detail: string };

export function compileOverrides(overrides: readonly HostOverride[]): CompiledOverrides {
  // Hosts are looked up as those of rules are.
  const rules = overrides.map(({ id, hosts }) => ({ id, hosts, action: "intercept" as const }));
  const compiled = compilePolicy({ default: "intercept", ignoreHosts: [], blockHosts: [], rules });
  if (compiled.type === "error") {
    return {
      type: "error",
      detail: compiled.detail.replace("policy.rules", "overrides").replace("(rule ", "(override "),
    };
  }
  const byId = new Map<string | null, HostOverride>(overrides.map((override) => [override.id, override]));
  const apply = (decision: Decision, question: Question): Decision => {
    const { authority } = question;
    // The name in a ClientHello is the authority of a question of its own.
    const found = byId.get(compiled.policy({ ...question, authority, sni: null }).ruleId);
    if (found === undefined) return decision;
    // Whole connections are HTTP/3; a request that can be seen is none.
    if (found.http3 && question.path === null) {
      return { action: "tunnel", reason: "http3", ruleId: found.id, prior: decision };
    }
    if (decision.action !== "intercept") return decision;
    if (found.forceTunnel) return { action: "tunnel", reason: "override", ruleId: found.id };
    return { ...decision, override: found };
  };
  return {
    type: "overrides",
    override: (decision, question) => {
      if (byId.size === 0 || decision.action === "block") return decision;
      if (decision.prior !== undefined) {
        const prior = apply(decision.prior, question);
        return { ...decision, prior: prior.prior ?? prior };
      }
      return apply(decision, question);
    },
  };
}
