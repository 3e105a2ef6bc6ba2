import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto"
import { noSecrets, SealedError, type Secrets } from "../core/secrets.ts"

const cipher = "aes-256-gcm"
const version = "v1"
const [keyBytes, nonceBytes, tagBytes] = [32, 12, 16]
const keyForm = /^[A-Za-z0-9+/_-]{43}=?$/

/** A key, and what tells it from others: nothing of the key is learnt from it. */
interface NamedKey {
  readonly name: string
  readonly key: Buffer
}

/**
 * Encrypts with the first of these keys (32 bytes each), and opens with all of them: AES-256-GCM, a nonce by chance. What is
 * sealed is `v1.<the key's name>.<base64url of nonce, text and tag>`; without keys nothing is.
 */
export function createSecrets(keys: readonly Uint8Array[]): Secrets {
  const named = keys.map(nameKey)
  const [first] = named
  if (first === undefined) return noSecrets
  return {
    seal: (text, of) => `${version}.${first.name}.${encrypt(first.key, text, of).toString("base64url")}`,
    open(sealed, of) {
      const [is, name, box = ""] = sealed.split(".")
      const found = named.find((each) => each.name === name)
      if (is !== version) throw new SealedError("they were encrypted by a newer version of the hub: use that one")
      if (found === undefined)
        throw new SealedError(`they are encrypted with the key ${name}, which this hub does not have: ${add}`)
      return decrypt(found.key, Buffer.from(box, "base64url"), of)
    },
    isCurrent: (sealed) => sealed.startsWith(`${version}.${first.name}.`),
  }
}

const add = "add it to the setting secretsKey, behind the first one, and start the hub again"

/** A key's bytes out of its text, base64 of 32; undefined where it is none. */
export function parseSecretsKey(text: string): Buffer | undefined {
  const bytes = keyForm.test(text) ? Buffer.from(text, "base64") : undefined
  return bytes?.length === keyBytes ? bytes : undefined
}

/**
 * The keys that the setting says, each as itself or as the name of a file that holds some, one a line. `message` says what is
 * wrong with one.
 */
export function readSecretsKeys(
  entries: readonly string[],
  readFile: (path: string) => string,
): readonly Uint8Array[] | { readonly message: string } {
  const keys: Uint8Array[] = []
  for (const entry of entries) {
    const key = parseSecretsKey(entry)
    const read = key === undefined ? readKeyFile(entry, readFile) : [key]
    if ("message" in read) return read
    keys.push(...read)
  }
  return keys
}

function readKeyFile(
  path: string,
  readFile: (path: string) => string,
): readonly Uint8Array[] | { readonly message: string } {
  const make = "openssl rand -base64 32 makes one"
  try {
    const keys = readFile(path)
      .split(/\s+/)
      .filter((line) => line !== "")
      .map(parseSecretsKey)
    if (keys.length > 0 && keys.every((key) => key !== undefined)) return keys
    return { message: `the file ${path} has to hold keys, each 32 bytes in base64 on a line of its own: ${make}` }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // What is no file may be a key that was cut, which nobody is to read in a log.
    if (code === "ENOENT" || code === "ENAMETOOLONG")
      return { message: `an entry is neither 32 bytes in base64 nor the name of a file: ${make}` }
    return { message: `the file ${path} cannot be read (${code ?? String(error)})` }
  }
}

function nameKey(key: Uint8Array): NamedKey {
  if (key.length !== keyBytes) throw new RangeError(`a key has ${keyBytes} bytes`)
  return {
    key: Buffer.from(key),
    name: createHash("sha256").update("redcar secrets key").update(key).digest("hex").slice(0, 8),
  }
}

function encrypt(key: Buffer, text: string, of: string): Buffer {
  const nonce = randomBytes(nonceBytes)
  const encrypting = createCipheriv(cipher, key, nonce, { authTagLength: tagBytes }).setAAD(Buffer.from(of))
  return Buffer.concat([nonce, encrypting.update(text, "utf8"), encrypting.final(), encrypting.getAuthTag()])
}

function decrypt(key: Buffer, box: Buffer, of: string): string {
  try {
    const decrypting = createDecipheriv(cipher, key, box.subarray(0, nonceBytes), { authTagLength: tagBytes })
    decrypting.setAAD(Buffer.from(of)).setAuthTag(box.subarray(-tagBytes))
    return Buffer.concat([decrypting.update(box.subarray(nonceBytes, -tagBytes)), decrypting.final()]).toString()
  } catch (error) {
    const what =
      "what is stored of them is not what was encrypted as theirs: put it back from a backup, or make it anew"
    throw new SealedError(what, { cause: error })
  }
}
