/** A broken promise of our own code, never a peer's deviation. The driver ends that flow as `internal_error`. */
export class AssertionFailure extends Error {
  override name = "AssertionFailure";
}

export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new AssertionFailure(message);
}

/** Ends an exhaustive `switch`: the compiler proves that it is never reached. */
export function unreachable(value: never): never {
  throw new AssertionFailure(`Unreachable value: ${JSON.stringify(value)}`);
}
