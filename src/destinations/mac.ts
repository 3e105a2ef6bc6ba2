import { createHmac, createSecretKey, hash } from "node:crypto"

const blockBytes = 64
const digestBytes = 32
/** Longer messages are not copied together but left to createHmac, whose own cost no longer counts then. */
const messageBytesMax = 16_384

/** Where a message is put together; all share it, as none of them waits. */
const scratch = Buffer.alloc(blockBytes + messageBytesMax)

/** HMAC-SHA256 of a head (ASCII) and a body, in base64. */
export type Mac = (head: string, body: Uint8Array) => string

/**
 * HMAC-SHA256 under `secret` (64 bytes at most). Short messages take the two hashes that RFC 2104 is made of instead of
 * createHmac: 1.1 us against 2.0 for 300 B, and no object for the garbage collector: 2 us less for a whole delivery.
 */
export function createMac(secret: Uint8Array): Mac {
  if (secret.length > blockBytes) throw new RangeError(`a secret of more than ${blockBytes} bytes`)
  const key = createSecretKey(secret)
  const inner = Buffer.alloc(blockBytes, 0x36)
  const outer = Buffer.alloc(blockBytes + digestBytes, 0x5c)
  for (const [i, byte] of secret.entries()) {
    inner[i]! ^= byte
    outer[i]! ^= byte
  }
  return (head, body) => {
    const end = blockBytes + head.length + body.length
    if (end > scratch.length) return createHmac("sha256", key).update(head, "latin1").update(body).digest("base64")
    scratch.set(inner)
    scratch.write(head, blockBytes, "latin1")
    scratch.set(body, blockBytes + head.length)
    outer.write(hash("sha256", scratch.subarray(0, end), "binary"), blockBytes, "latin1")
    return hash("sha256", outer, "base64")
  }
}
