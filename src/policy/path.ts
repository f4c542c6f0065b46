/**
 * Globs on the path of a request: `*` stands for any characters, also none and also `/`; everything else for
 * itself. The query is no part of the path.
 *
 * A path has many spellings, and servers take them for one: `/admin`, `/%61dmin`, `//admin`, `/x/../admin`.
 * What it means to most of them decides, or a block would be a matter of spelling: percent-encoding is decoded
 * once, repeated slashes become one, dot segments are resolved (RFC 3986 §5.2.4). Case counts.
 */
export const PATH_GLOB_LENGTH_MAX = 1_024;

/** The characters around its asterisks, as `comparablePath` spells them; one part: no asterisk. */
export type PathGlob = readonly [first: string, ...rest: string[]];

/** What is wrong with a glob, in words that complete "allowed: "; null: nothing. */
export function pathFault(text: string): string | null {
  if (text.length > PATH_GLOB_LENGTH_MAX) return `at most ${PATH_GLOB_LENGTH_MAX} characters`;
  if (!/^[/*]/.test(text)) return 'a glob on the path that begins with "/" or "*", such as /admin/*';
  if (/[?#]/.test(text)) return "a glob on the path alone, without query and fragment";
  // deno-lint-ignore no-control-regex
  if (/[\s\x00-\x1f\x7f]/.test(text)) return "a glob on the path without white space; write %20";
  return null;
}

export const METHOD = /^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$/;

export function methodFault(text: string): string | null {
  return METHOD.test(text) ? null : "a request method such as POST";
}

export function parsePathGlob(text: string): PathGlob {
  // Octets, as paths are read from the wire: a name in the glob is UTF-8 there.
  const octets = Array.from(new TextEncoder().encode(text), (octet) => String.fromCharCode(octet)).join("");
  const [first = "", ...rest] = octets.split("*").map(percentDecoded);
  return [first, ...rest];
}

/** `path` is from `comparablePath`. Linear in its length: each part is looked for behind the one before. */
export function matchesPath(glob: PathGlob, path: string): boolean {
  const first = glob[0];
  if (glob.length === 1) return path === first;
  const last = glob[glob.length - 1]!;
  const end = path.length - last.length;
  if (end < first.length || !path.startsWith(first) || !path.endsWith(last)) return false;
  let at = first.length;
  for (let index = 1; index < glob.length - 1; index++) {
    const part = glob[index]!;
    const found = path.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}

/** The one spelling of a path, of a request's `path` with or without its query. */
export function comparablePath(target: string): string {
  const query = target.indexOf("?");
  const path = query < 0 ? target : target.slice(0, query);
  if (!/%|\/[/.]/.test(path)) return path;
  const decoded = percentDecoded(path);
  return decoded.startsWith("/") ? withoutDotSegments(decoded) : decoded;
}

function percentDecoded(text: string): string {
  return text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits) => String.fromCharCode(parseInt(digits, 16)));
}

function withoutDotSegments(path: string): string {
  const segments = path.split("/");
  const kept: string[] = [];
  for (const segment of segments) {
    if (segment === "..") kept.pop();
    else if (segment !== "" && segment !== ".") kept.push(segment);
  }
  const last = segments[segments.length - 1]!;
  const isDirectory = kept.length > 0 && (last === "" || last === "." || last === "..");
  return `/${kept.join("/")}${isDirectory ? "/" : ""}`;
}
