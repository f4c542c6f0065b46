/** What is known of the two messages of an exchange once their heads are there, whatever the HTTP version. */
import type { Field } from "./fields.ts";

export type Direction = "request" | "response";

export interface RequestFacts {
  readonly method: string;
  readonly target: string;
  /** Extended CONNECT alone (RFC 8441): what the stream is to carry. */
  readonly protocol?: string;
  readonly scheme: string;
  readonly authority: string;
  readonly version: string;
  readonly fields: readonly Field[];
  readonly headBytes: number;
  /** Codes of what is wrong with the fields and was let through all the same. */
  readonly tolerated?: readonly string[] | undefined;
}

export interface ResponseFacts {
  readonly status: number;
  readonly version: string;
  readonly fields: readonly Field[];
  readonly headBytes: number;
  /** As in `RequestFacts`. */
  readonly tolerated?: readonly string[] | undefined;
}
