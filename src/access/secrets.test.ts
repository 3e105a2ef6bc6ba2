import { randomBytes } from "node:crypto"
import { describe, expect, test } from "vitest"
import { noSecrets, SealedError } from "../core/secrets.ts"
import { createSecrets, parseSecretsKey, readSecretsKeys } from "./secrets.ts"

const [first, second] = [randomBytes(32), randomBytes(32)]
const of = "destination/default/shop"

describe("what is sealed", () => {
  test("opens again, holds nothing of the text, and is another text each time", () => {
    const secrets = createSecrets([first])
    for (const text of ["", "s3cret", "größe 🎉", "x".repeat(100_000)]) {
      const [one, two] = [secrets.seal(text, of)!, secrets.seal(text, of)!]
      expect([secrets.open(one, of), secrets.open(two, of)]).toEqual([text, text])
      expect(one).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]+$/)
      expect(one).not.toBe(two)
      if (text !== "") expect(Buffer.from(one.split(".")[2]!, "base64url").includes(text)).toBe(false)
    }
  })

  test("opens with any key that there is; the first one encrypts", () => {
    const old = createSecrets([second]).seal("s3cret", of)!
    const rotated = createSecrets([first, second])
    expect(rotated.open(old, of)).toBe("s3cret")
    expect(rotated.isCurrent(old)).toBe(false)
    const fresh = rotated.seal("s3cret", of)!
    expect(rotated.isCurrent(fresh)).toBe(true)
    expect(createSecrets([first]).open(fresh, of)).toBe("s3cret")
  })

  test("does not open with another key or none, as another's, changed or cut", () => {
    const secrets = createSecrets([first])
    const sealed = secrets.seal("s3cret", of)!
    const [version, name, box] = sealed.split(".") as [string, string, string]
    expect(() => createSecrets([second]).open(sealed, of)).toThrow(
      new SealedError(
        `they are encrypted with the key ${name}, which this hub does not have: add it to the setting secretsKey, behind the first one, and start the hub again`,
      ),
    )
    expect(() => noSecrets.open(sealed, of)).toThrow(/this hub has no key: start it with the setting secretsKey/)
    const bytes = Buffer.from(box, "base64url")
    for (let i = 0; i < bytes.length; i++) {
      const changed = Buffer.from(bytes)
      changed[i]! ^= 1
      expect(() => secrets.open(`${version}.${name}.${changed.toString("base64url")}`, of)).toThrow(SealedError)
      const cut = bytes.subarray(0, i).toString("base64url")
      expect(() => secrets.open(`${version}.${name}.${cut}`, of)).toThrow(SealedError)
    }
    expect(() => secrets.open(sealed, "destination/other/shop")).toThrow(/make it anew/)
    expect(() => secrets.open(`v2.${name}.${box}`, of)).toThrow(/newer version/)
    expect(() => secrets.open("", of)).toThrow(SealedError)
  })

  test("is nothing without a key", () => {
    expect(createSecrets([])).toBe(noSecrets)
    expect(noSecrets.seal("s3cret", of)).toBeUndefined()
  })
})

describe("keys", () => {
  const text = first.toString("base64")
  const files: Record<string, string> = {
    "/run/keys": `${second.toString("base64url")}\n\n${text}\n`,
    "/run/empty": "\n",
    "/run/short": `${text}\n${text.slice(4)}`,
  }
  const readFile = (path: string) => {
    const found = files[path]
    if (found === undefined) throw Object.assign(new Error(), { code: path === "/run/closed" ? "EACCES" : "ENOENT" })
    return found
  }

  test("are 32 bytes in base64 of either kind", () => {
    for (const good of [text, text.replace("=", ""), first.toString("base64url")])
      expect(parseSecretsKey(good)).toEqual(first)
    for (const bad of ["", text.slice(4), `${text}AAAA`, ` ${text}`, "=".repeat(44)])
      expect(parseSecretsKey(bad)).toBeUndefined()
  })

  test("are said as themselves or in files", () => {
    expect(readSecretsKeys([text, "/run/keys"], readFile)).toEqual([first, second, first])
    expect(readSecretsKeys([], readFile)).toEqual([])
  })

  test.each([
    ["/run/empty", /^the file \/run\/empty has to hold keys.*openssl rand -base64 32/],
    ["/run/short", /^the file \/run\/short has to hold keys/],
    ["/run/closed", /^the file \/run\/closed cannot be read \(EACCES\)$/],
    [text.slice(4), /^an entry is neither 32 bytes in base64 nor the name of a file/],
  ])("%s is refused, and no key is told", (entry, message) => {
    const read = readSecretsKeys([entry], readFile)
    expect(read).toEqual({ message: expect.stringMatching(message) })
    expect(JSON.stringify(read)).not.toContain(text.slice(4))
  })
})
