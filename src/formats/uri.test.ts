import { expect, test } from "vitest"
import { valueFault } from "./attributes.ts"
import { isUri, isUriReference } from "./uri.ts"

test.each([
  "/a",
  "/",
  "//",
  "urn:uuid:1",
  "https://a.example/b?c=d#e",
  "a/b",
  "a/b:c",
  "./a:b",
  "?q",
  "?a=/b?c:@",
  "#f",
  "//host",
  "//host:",
  "//user:word@host:80/a",
  "mailto:a@b.c",
  "tag:example.com,2026:a",
  "/%C3%A9",
  "file:///etc",
  "https://[::1]/",
  "https://[::1]",
  "http://[2001:db8::1]:8080?a",
  "http://[::ffff:192.0.2.1]",
  "http://a@[::1]:1#b",
  "http://[v1.a:b]/",
  "http://192.0.2.1/",
  "http://%41.example/",
  "x+y-z.1:/a",
])("%s is a URI-reference", (text) => expect(isUriReference(text)).toBe(true))

test.each([
  "",
  "a b",
  "/é",
  "/%zz",
  "/a%2",
  "a#b#c",
  "<a>",
  "a\\b",
  "{a}",
  '"',
  "a^b",
  "http://[::1",
  "http://::1]",
  "http://[::1]x",
  "http://[]",
  "http://[::g]",
  "http://[1:2:3]",
  "http://[fe80::1%25eth0]",
  "http://[v1]",
  "http://[a@::1]",
  "http://a:b",
  "http://a:80:81",
  "http://a@b@c",
  "http://a[b]",
  "/a[1]",
  "?a[]=1",
  "1a:b",
  ":a",
  "1:2/3",
])("%j is no URI-reference", (text) => expect(isUriReference(text)).toBe(false))

test.each(["urn:a", "https://a.example", "x+y-z.1:/a", "a:?q"])("%s is a URI", (text) => expect(isUri(text)).toBe(true))
test.each(["/a", "a", "1a:b", ":a", "a:", "https://a b", "http://[::1", "//a"])("%j is no URI", (text) =>
  expect(isUri(text)).toBe(false),
)

test("an event's source and dataschema are held to it", () => {
  expect(valueFault("source", "http://[::1")).toMatch(/^must be a URI-reference/)
  expect(valueFault("dataschema", "http://[::1")).toBe("must be an absolute URI")
})

test.each(["//", "a:", "", "http://", "?", "http://[", "1a:"])("a long text after %j takes no time", (before) => {
  expect(isUriReference(`${before}${"a".repeat(500_000)}<`)).toBe(false)
  expect(isUriReference(`${before}${"[@:".repeat(200_000)}`)).toBe(false)
})
