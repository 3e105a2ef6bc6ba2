import { createAccount, createOperator, createUser, fromPublic } from "@nats-io/nkeys"
import { expect, test } from "vitest"
import { nativeKey } from "./native-key.ts"

test.each([
  ["operator", createOperator],
  ["account", createAccount],
  ["user", createUser],
])("an %s's key signs as it would by itself", (_, create) => {
  for (let i = 0; i < 5; i++) {
    const key = create()
    const native = nativeKey(key)
    const input = new TextEncoder().encode(`input ${i}`)
    const signature = native.sign(input)
    expect(Buffer.from(signature)).toEqual(Buffer.from(key.sign(input)))
    expect(fromPublic(native.getPublicKey()).verify(input, signature)).toBe(true)
    expect(native.getSeed()).toEqual(key.getSeed())
  }
})
