/** The exit codes of the contract. `exec` ends with the status of its command instead, once that runs. */
export const EXIT_CODES = {
  ok: 0,
  usage: 2,
  config_invalid: 20,
  event_sink_init_failed: 21,
  proxy_init_failed: 22,
  runtime_failed: 23,
} as const;

export type ExitClass = keyof typeof EXIT_CODES;
