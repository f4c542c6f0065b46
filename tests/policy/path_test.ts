import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import {
  comparablePath,
  matchesPath,
  methodFault,
  parsePathGlob,
  PATH_GLOB_LENGTH_MAX,
  pathFault,
} from "../../src/policy/path.ts";

const isMatch = (glob: string, path: string) => matchesPath(parsePathGlob(glob), comparablePath(path));

Deno.test("matchesPath: an asterisk stands for any characters, everything else for itself", () => {
  const cases: readonly (readonly [glob: string, yes: readonly string[], no: readonly string[]])[] = [
    ["/admin/*", ["/admin/", "/admin/x", "/admin/x/y?q"], [
      "/admin",
      "/administrator",
      "/x/admin/",
      "/ADMIN/",
    ]],
    ["/admin*", ["/admin", "/administrator"], ["/adm"]],
    ["/exact", ["/exact", "/exact?query=/other"], ["/exact/", "/exac", "/exactly"]],
    ["*.php", ["/x.php", "/a/b.php?c.js"], ["/x.php/y"]],
    ["/a/*/c", ["/a/b/c", "/a/b/b/c", "/a//x/c"], ["/a/c", "/a/b/c/d"]],
    ["/a*b*c", ["/abc", "/aXbXbXc"], ["/acb", "/ab"]],
    ["/aba*ba", ["/ababa"], ["/aba"]],
    ["*", ["/", "*", "/x?y"], []],
    ["/caf%C3%A9/*", ["/caf\xc3\xa9/x", "/caf%c3%a9/x"], ["/cafe/x"]],
    ["/café", ["/caf%C3%A9"], []],
    ["/100%25", ["/100%25", "/100%"], []],
    ["/%2A/x", ["/*/x", "/%2a/x"], ["/y/x"]],
  ];
  for (const [glob, yes, no] of cases) {
    for (const path of yes) assertEquals(isMatch(glob, path), true, `${glob} ${path}`);
    for (const path of no) assertEquals(isMatch(glob, path), false, `${glob} ${path}`);
  }
});

Deno.test("comparablePath: spellings that servers take for one path are one", () => {
  const admin = [
    "/admin/x",
    "/%61dmin/x",
    "//admin/x",
    "/./admin/x",
    "/y/../admin/x",
    "/y/%2e%2E/admin/x",
    "/admin//x",
    "/admin%2Fx",
    "/../admin/x?q=/../..",
    "/admin/y/../x",
  ];
  for (const path of admin) assertEquals(comparablePath(path), "/admin/x", path);
  assertEquals(comparablePath("/a/b/.."), "/a/");
  assertEquals(comparablePath("/a/."), "/a/");
  assertEquals(comparablePath("/.."), "/");
  assertEquals(comparablePath("*"), "*");
  // Decoded once: what a server gets is %61 itself.
  assertEquals(comparablePath("/%2561"), "/%61");
  assertEquals(comparablePath("/a%zz"), "/a%zz");
});

Deno.test("comparablePath is total, and what it gives stays the same where nothing is encoded in it", () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom(..."/.%2ea?*\xff"), maxLength: 30 }), (tail) => {
    const path = comparablePath(`/${tail}`);
    assert(path.startsWith("/") && !/\/\/|\/\.\.?(\/|$)/.test(path), path);
    if (!/[%?]/.test(path)) assertEquals(comparablePath(path), path);
  }));
});

Deno.test("matchesPath agrees with a regular expression", () => {
  const unit = fc.constantFrom("a", "b", "/");
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit, maxLength: 3 }), { minLength: 1, maxLength: 4 }),
      fc.string({ unit, maxLength: 12 }),
      (parts, path) => {
        const glob = parts as [string, ...string[]];
        assertEquals(matchesPath(glob, path), new RegExp(`^${parts.join(".*")}$`, "s").test(path));
      },
    ),
    { numRuns: 1000 },
  );
});

Deno.test("pathFault and methodFault name what is wrong", () => {
  for (const path of ["/", "*", "/a*b", "*x", "/" + "a".repeat(PATH_GLOB_LENGTH_MAX - 1)]) {
    assertEquals(pathFault(path), null, path);
  }
  for (const path of ["", "a", "/a?b", "/a#b", "/a b", "/\n", "/" + "a".repeat(PATH_GLOB_LENGTH_MAX)]) {
    assert(pathFault(path) !== null, path);
  }
  assertEquals(["GET", "M-SEARCH"].map(methodFault), [null, null]);
  for (const method of ["", "GET ", "a b", "x".repeat(65)]) assert(methodFault(method) !== null, method);
});
