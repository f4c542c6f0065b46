/** Why a proxy could not start; the class is the exit class of the command line (README, "Exit codes"). */
export type StartErrorClass = "config_invalid" | "event_sink_init_failed" | "proxy_init_failed";

/** An error for a person: the message names what was found, what is allowed and the mend. */
export class StartError extends Error {
  override name = "StartError";
  constructor(readonly exitClass: StartErrorClass, message: string, options?: ErrorOptions) {
    super(message, options);
  }
}
