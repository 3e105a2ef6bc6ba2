import { createHmac } from "node:crypto"
import fc from "fast-check"
import { expect, test } from "vitest"
import { createMac } from "./mac.ts"

test("equals createHmac for every secret, head and body, one after the other", () => {
  const ascii = fc.string({ unit: "grapheme-ascii", maxLength: 200 })
  const bytes = (minLength: number, maxLength: number) => fc.uint8Array({ minLength, maxLength, size: "max" })
  const messages = fc.array(fc.tuple(ascii, fc.oneof(bytes(0, 400), bytes(16_000, 17_000))), {
    minLength: 1,
    maxLength: 4,
  })
  fc.assert(
    fc.property(bytes(1, 64), messages, (secret, list) => {
      const mac = createMac(secret)
      for (const [head, body] of list) {
        expect(mac(head, body)).toBe(createHmac("sha256", secret).update(head).update(body).digest("base64"))
      }
    }),
  )
})

test("does not take a secret that HMAC would hash first", () => {
  expect(() => createMac(new Uint8Array(65))).toThrow(RangeError)
})
