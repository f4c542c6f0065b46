/** The published JSON schema of HAR 1.2, by the package that carries it. */
import * as validator from "har-validator/promise";

// The package carries no types.
const { har } = validator as unknown as { har: (value: unknown) => Promise<unknown> };

/** Rejects with what does not fit the schema. */
export async function validateHar(value: unknown): Promise<void> {
  try {
    await har(value);
  } catch (error) {
    throw new Error(JSON.stringify((error as { errors?: unknown }).errors ?? String(error)));
  }
}
