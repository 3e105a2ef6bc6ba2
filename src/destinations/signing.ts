import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign } from "node:crypto"
import type { Chance } from "../core/clock.ts"
import type { SigningKey } from "../core/resources.ts"
import { createMac } from "./mac.ts"

/** Keys of one destination at most: each adds a signature to every delivery. */
export const signingKeysMax = 8

const secretBytes = 32
/** What stands before the 32 bytes of an Ed25519 seed (PKCS #8) and of a public key (SPKI), in DER. */
const seedPrefix = Buffer.from("302e020100300506032b657004220420", "hex")
const publicPrefixBytes = 12

/**
 * A new key, made by the system's random source; `chance` only names it. Standard Webhooks' forms: `whsec_` + base64 of
 * 32 bytes (`v1`); `whsk_` + base64 of seed and public key, 64 bytes, and `whpk_` + base64 of the public key (`v1a`).
 */
export function issueSigningKey(scheme: SigningKey["scheme"], now: number, chance: Chance): SigningKey {
  const id = `key-${chance.id().toLowerCase()}`
  const secret = randomBytes(secretBytes)
  if (scheme === "v1") return { id, scheme, secret: `whsec_${secret.toString("base64")}`, createdAt: now }
  const publicKey = publicKeyOf(secret)
  return {
    id,
    scheme,
    secret: `whsk_${Buffer.concat([secret, publicKey]).toString("base64")}`,
    publicKey: `whpk_${publicKey.toString("base64")}`,
    createdAt: now,
  }
}

/**
 * Puts `newKey` first; the others sign on until `overlapMs` from `now`, or their own end where that is sooner. Keys that
 * have ended are dropped, and the oldest of more than {@link signingKeysMax}.
 */
export function rotate(
  keys: readonly SigningKey[],
  newKey: SigningKey,
  overlapMs: number,
  now: number,
): readonly SigningKey[] {
  const end = now + overlapMs
  const old = keys
    .map((key) => ({ ...key, expiresAt: Math.min(key.expiresAt ?? end, end) }))
    .filter((key) => key.expiresAt > now)
  return [newKey, ...old].slice(0, signingKeysMax)
}

/** Signs with the keys of one destination. */
export interface Signer {
  /**
   * The value of `webhook-signature`: a signature by each key that has not ended at `at` (Unix milliseconds), in the
   * keys' order. Empty where none is left.
   */
  sign(id: string, timestamp: string, body: Uint8Array, at: number): string
}

/** Throws RangeError for a secret that is not of its scheme. */
export function createSigner(keys: readonly SigningKey[]): Signer {
  const prepared = keys.map((key) => ({ sign: prepare(key), expiresAt: key.expiresAt ?? Number.POSITIVE_INFINITY }))
  return {
    sign(id, timestamp, body, at) {
      const head = `${id}.${timestamp}.`
      let text = ""
      for (const key of prepared) {
        if (key.expiresAt > at) text += text === "" ? key.sign(head, body) : ` ${key.sign(head, body)}`
      }
      return text
    },
  }
}

type Sign = (head: string, body: Uint8Array) => string

function prepare(key: SigningKey): Sign {
  if (key.scheme === "v1") {
    const mac = createMac(decode(key, "whsec_", 24, 64))
    return (head, body) => `v1,${mac(head, body)}`
  }
  const secret = privateKeyOf(decode(key, "whsk_", 64, 64).subarray(0, 32))
  return (head, body) => `v1a,${sign(null, Buffer.concat([Buffer.from(head), body]), secret).toString("base64")}`
}

function decode(key: SigningKey, prefix: string, bytesMin: number, bytesMax: number): Buffer {
  const bytes = Buffer.from(key.secret.slice(prefix.length), "base64")
  if (!key.secret.startsWith(prefix) || bytes.length < bytesMin || bytes.length > bytesMax)
    throw new RangeError(`signing key ${key.id} holds no ${key.scheme} secret`)
  return bytes
}

function privateKeyOf(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([seedPrefix, seed]), format: "der", type: "pkcs8" })
}

function publicKeyOf(seed: Uint8Array): Buffer {
  return createPublicKey(privateKeyOf(seed)).export({ format: "der", type: "spki" }).subarray(publicPrefixBytes)
}
