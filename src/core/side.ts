/** The two sides of a flow: the program that uses the proxy, and the origin it talks to. */
export type Side = "client" | "server";

export function opposite(side: Side): Side {
  return side === "client" ? "server" : "client";
}
