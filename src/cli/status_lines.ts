/**
 * `--status-lines`: one line on standard error for each stage, for programs that start the proxy.
 * `SOTH_MITM_STATUS`, a tab, and JSON with its keys in this order. The line is an interface: only add to it.
 */
import type { ExitClass } from "./exit.ts";

export type Stage = "startup" | "running" | "exit";
export type Outcome = "in_progress" | "ready" | "ok" | "error";
export type StatusDetail = Readonly<Record<string, string | number | readonly string[]>>;

export interface Status {
  readonly stage: Stage;
  readonly outcome: Outcome;
  readonly exitCode: number;
  readonly exitClass: ExitClass;
  readonly detail: StatusDetail;
}

export function statusLine({ stage, outcome, exitCode, exitClass, detail }: Status): string {
  const status = {
    schema: "soth-mitm-automation-status-v1",
    stage,
    outcome,
    exit_code: exitCode,
    exit_class: exitClass,
    detail,
  };
  return `SOTH_MITM_STATUS\t${JSON.stringify(status)}\n`;
}

export const STARTING: Status = {
  stage: "startup",
  outcome: "in_progress",
  exitCode: 0,
  exitClass: "ok",
  detail: {},
};

/** `pid` comes last, as the contract lists it. */
export function ready(listen: readonly string[], caCertPath: string, pid: number): Status {
  return {
    stage: "running",
    outcome: "ready",
    exitCode: 0,
    exitClass: "ok",
    detail: { listen, ca_cert_path: caCertPath, pid },
  };
}

export function ended(exitCode: number, exitClass: ExitClass, detail: StatusDetail): Status {
  return { stage: "exit", outcome: exitClass === "ok" ? "ok" : "error", exitCode, exitClass, detail };
}
