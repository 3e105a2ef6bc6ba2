import { createPrivateKey, sign } from "node:crypto"
import type { KeyPair } from "@nats-io/nkeys"

/** Before the 32 bytes of an Ed25519 key, in PKCS #8. */
const pkcs8 = Buffer.from("302e020100300506032b657004220420", "hex")

/**
 * The same key, signing in native code. In JavaScript a signature takes milliseconds in which the hub does nothing else, and
 * an account needs a hundred.
 */
export function nativeKey(key: KeyPair): KeyPair {
  const raw = rawSeed(key.getSeed())
  const native = createPrivateKey({ key: Buffer.concat([pkcs8, raw]), format: "der", type: "pkcs8" })
  const publicKey = key.getPublicKey()
  const privateKey = key.getPrivateKey()
  return {
    getPublicKey: () => publicKey,
    getPrivateKey: () => privateKey,
    getSeed: () => key.getSeed(),
    sign: (input) => sign(null, input, native),
    verify: (input, signature) => key.verify(input, signature),
    clear: () => key.clear(),
    seal: (input, recipient, nonce) => key.seal(input, recipient, nonce),
    open: (message, sender) => key.open(message, sender),
  }
}

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

/** A seed's text is base32 of two bytes that say whose it is, the key, and two bytes of checksum. */
function rawSeed(seed: Uint8Array): Uint8Array {
  const bytes: number[] = []
  let bits = 0
  let held = 0
  for (const letter of new TextDecoder().decode(seed)) {
    held = (held << 5) | alphabet.indexOf(letter)
    bits += 5
    if (bits < 8) continue
    bits -= 8
    bytes.push((held >> bits) & 0xff)
    held &= (1 << bits) - 1
  }
  return Uint8Array.from(bytes.slice(2, 34))
}
