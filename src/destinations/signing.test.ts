import { createPublicKey, verify } from "node:crypto"
import { Webhook } from "standardwebhooks"
import { describe, expect, test } from "vitest"
import type { SigningKey } from "../core/resources.ts"
import { createSimulatedChance } from "../testing/chance.ts"
import { createSigner, issueSigningKey, rotate, signingKeysMax } from "./signing.ts"

const chance = createSimulatedChance("signing")
const v1 = (secret: string): SigningKey => ({ id: "key-1", scheme: "v1", secret, createdAt: 0 })
const id = "msg_p5jXN8AQM9LWM0D4loKWxJek"
const body = Buffer.from('{"test": 2432232314}')
const signature1 = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
const signature1a = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
const key1 = v1("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
const key1a: SigningKey = {
  id: "key-2",
  scheme: "v1a",
  secret: "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg==",
  createdAt: 0,
}

describe("signatures", () => {
  test("equal the published ones", () => {
    expect(createSigner([key1]).sign(id, "1614265330", body, 0)).toBe(signature1)
    const second = createSigner([v1("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")])
    const text = Buffer.from('{"email":"test@example.com","username":"test_user"}')
    expect(second.sign("msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "1649367553", text, 0)).toBe(
      "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    )
    expect(createSigner([key1a]).sign(id, "1614265330", body, 0)).toBe(signature1a)
  })

  test("are one for each key that has not ended, in the keys' order", () => {
    const ending = { ...key1, expiresAt: 1_000 }
    const signer = createSigner([key1a, ending])
    expect(signer.sign(id, "1614265330", body, 999)).toBe(`${signature1a} ${signature1}`)
    expect(signer.sign(id, "1614265330", body, 1_000)).toBe(signature1a)
    expect(createSigner([ending]).sign(id, "1614265330", body, 1_000)).toBe("")
  })

  test("are never made with something that is no secret of the scheme", () => {
    const secrets = ["", "whsec_", "whsec_c2hvcnQ=", `whsec_${"A".repeat(88)}`, key1a.secret, key1.secret.slice(6)]
    for (const secret of secrets) expect(() => createSigner([v1(secret)]), secret).toThrow(RangeError)
    for (const secret of [key1.secret, "whsk_AAAA"])
      expect(() => createSigner([{ ...key1a, secret }]), secret).toThrow(RangeError)
  })
})

describe("issued keys", () => {
  test("of v1 are 32 bytes, verified by the reference library, and never the same twice", () => {
    const key = issueSigningKey("v1", 5_000, chance)
    expect(key).toMatchObject({
      scheme: "v1",
      createdAt: 5_000,
      secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    })
    expect(key.publicKey).toBeUndefined()
    const timestamp = Math.floor(Date.now() / 1000).toString()
    const headers = {
      "webhook-id": id,
      "webhook-timestamp": timestamp,
      "webhook-signature": createSigner([key]).sign(id, timestamp, body, 0),
    }
    expect(new Webhook(key.secret).verify(body, headers)).toEqual({ test: 2432232314 })
    const other = issueSigningKey("v1", 5_000, chance)
    expect(() => new Webhook(other.secret).verify(body, headers)).toThrow()
    expect(other.id).not.toBe(key.id)
  })

  test("of v1a hold seed and public key, and the public key verifies", () => {
    const key = issueSigningKey("v1a", 5_000, chance)
    const secret = Buffer.from(key.secret.replace("whsk_", ""), "base64")
    const publicBytes = Buffer.from(key.publicKey!.replace("whpk_", ""), "base64")
    expect([secret.length, publicBytes.length]).toEqual([64, 32])
    expect(secret.subarray(32)).toEqual(publicBytes)
    const [version, signature] = createSigner([key]).sign(id, "1", body, 0).split(",") as [string, string]
    expect(version).toBe("v1a")
    const jwk = { kty: "OKP", crv: "Ed25519", x: publicBytes.toString("base64url") }
    const publicKey = createPublicKey({ key: jwk, format: "jwk" })
    const content = Buffer.concat([Buffer.from(`${id}.1.`), body])
    expect(verify(null, content, publicKey, Buffer.from(signature, "base64"))).toBe(true)
  })
})

describe("rotation", () => {
  test("puts the new key first and lets the others end after the overlap, or sooner where they would", () => {
    const newKey = { ...key1a, id: "new" }
    const keys: SigningKey[] = [
      { ...key1, id: "current" },
      { ...key1, id: "ending", expiresAt: 1_500 },
      { ...key1, id: "ended", expiresAt: 1_000 },
    ]
    expect(rotate(keys, newKey, 2_000, 1_000)).toEqual([
      newKey,
      { ...key1, id: "current", expiresAt: 3_000 },
      { ...key1, id: "ending", expiresAt: 1_500 },
    ])
  })

  test("without overlap leaves the new key alone", () => {
    expect(rotate([key1], key1a, 0, 1_000)).toEqual([key1a])
  })

  test("keeps a bounded number of keys, the newest", () => {
    let keys: readonly SigningKey[] = []
    for (let i = 0; i < 20; i++) keys = rotate(keys, { ...key1, id: `${i}` }, 1_000_000, i)
    expect(keys.map((key) => key.id)).toEqual(Array.from({ length: signingKeysMax }, (_, i) => `${19 - i}`))
  })
})
