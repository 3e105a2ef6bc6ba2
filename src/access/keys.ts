import { createHash } from "node:crypto"

/** What a key may beyond its own tenant. `operate`: see and check the whole hub, and issue credentials of any tenant. */
export type Right = "operate"

/** A key's entry in the catalog, under {@link accessKeys}. The key itself is nowhere but with its holder. */
export interface StoredKey {
  readonly id: string
  readonly tenant: string
  /** Of the key's text, in hex. Keys are 256 random bits, so a plain hash is enough. */
  readonly sha256: string
  readonly createdAt: number
  /** Absent: none. */
  readonly rights?: readonly Right[]
}

const form = /^rck_[A-Za-z0-9_-]{43}$/

/** Whether a text has a key's form. What has not is refused without being hashed. */
export function isKey(text: string): boolean {
  return form.test(text)
}

/** A key out of 32 random bytes. */
export function formatKey(random: Uint8Array): string {
  return `rck_${Buffer.from(random).toString("base64url")}`
}

/** The hash by which a key is known. */
export function hashKey(key: string): Buffer {
  return createHash("sha256").update(key).digest()
}
