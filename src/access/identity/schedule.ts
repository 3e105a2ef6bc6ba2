/** What is public of a key that signs identity tokens (RFC 7517). */
export interface PublicKey {
  readonly kty: "RSA"
  readonly n: string
  readonly e: string
}

/** One key, as it is stored; exactly one of `privateKey` and `sealed` is there. */
export interface StoredIdentityKey {
  /** Its thumbprint (RFC 7638). */
  readonly kid: string
  readonly publicKey: PublicKey
  readonly createdAt: number
  /** From when on it signs, until the next one does. */
  readonly signsFrom: number
  /** PKCS #8, as PEM. */
  readonly privateKey?: string
  /** The same, encrypted. */
  readonly sealed?: string
}

/** All keys of a hub, in the order in which they sign; there is one at least. */
export interface IdentityKeys {
  readonly keys: readonly StoredIdentityKey[]
}

/** How long a token holds. */
export const tokenMs = 3_600_000
/** A key signs for so long. */
export const keyAgeMs = 90 * 86_400_000
/** A new key is published for so long before it signs: by then all receivers have read it, who keep what they read for some time. */
export const aheadMs = 86_400_000
/** An old key stays published for so long once it signs no more: the last token of it is over by then, on slow clocks too. */
export const behindMs = 2 * tokenMs

/** The key that signs at `now`. */
export function signingKey(keys: readonly StoredIdentityKey[], now: number): StoredIdentityKey {
  return keys.findLast(({ signsFrom }) => signsFrom <= now) ?? keys[0]!
}

/** The keys by which a token that holds at `now` may be signed, and the next one. */
export function publishedKeys(keys: readonly StoredIdentityKey[], now: number): readonly StoredIdentityKey[] {
  return keys.filter((_, i) => {
    const next = keys[i + 1]
    return next === undefined || next.signsFrom + behindMs > now
  })
}

/** Whether the next key is to be made. */
export function isNextDue(keys: readonly StoredIdentityKey[], now: number): boolean {
  return keys.at(-1)!.signsFrom + keyAgeMs - aheadMs <= now
}

/** Whether a key is published already that does not sign yet. */
export function pendingKey(keys: readonly StoredIdentityKey[], now: number): StoredIdentityKey | undefined {
  const last = keys.at(-1)!
  return keys.length > 1 && last.signsFrom > now ? last : undefined
}
