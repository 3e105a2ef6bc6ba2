import { expect, test } from "vitest"
import { foreverMs } from "../../core/deliveries.ts"
import { queueKind, queueSettings } from "./kind.ts"

test("a lease is 30 seconds long, and attempts are the trigger's, unless it says", () => {
  expect(queueSettings({})).toEqual({ leaseMs: 30_000 })
  expect(queueSettings({ lease: "never" })).toEqual({ leaseMs: foreverMs })
  expect(queueSettings({ lease: "1.5m", attemptsMax: 5 })).toEqual({ leaseMs: 90_000, attemptsMax: 5 })
})

test.each(["100ms", "30s", "24h", "never", undefined])("a lease of %s is right", (lease) => {
  expect(queueKind.check(lease === undefined ? {} : { lease })).toEqual([])
})

test.each(["99ms", "25h", "0s", "x"])("a lease of %s is refused", (lease) => {
  expect(queueKind.check({ lease })).toEqual([{ field: "lease", message: "must be 100ms to 24h, or never" }])
})

test("nothing is signed or sent", async () => {
  expect(queueKind.signing({})).toBeUndefined()
  const sender = await queueKind.open({}, { tenant: "default", signingKeys: [], publish: async () => {} })
  expect(await sender.send({} as never, new AbortController().signal)).toMatchObject({
    kind: "failed",
    permanent: false,
  })
  await sender.close()
})
