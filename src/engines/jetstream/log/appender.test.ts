import { expect, test } from "vitest"
import { OverloadError } from "../../../core/errors.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { event } from "../../conformance/log-fixture.ts"
import { createNames } from "../names.ts"
import type { Answer } from "./answer.ts"
import { Appender, type AppenderOptions } from "./appender.ts"
import type { Outgoing } from "./pipeline.ts"

/** An appender to a server that answers each message by `answer`, and whose stream holds nothing any more. */
function appenderTo(answer: (sent: number) => Answer) {
  let sent = 0
  let numbers = 0
  const pipeline = {
    nextNumber: () => ++numbers,
    voids: { take: () => undefined },
    refusing: false,
    put: (outgoing: Outgoing) => void setImmediate(() => outgoing.done(answer(++sent))),
  }
  const appender = new Appender({
    names: createNames("redcar"),
    clock: systemClock,
    publisher: { writer: "w", pipelines: [pipeline] },
    streams: [{ message: async () => undefined }],
    pendingBytesMax: 1 << 20,
    payloadBytesMax: () => 1 << 20,
  } as unknown as AppenderOptions)
  const append = () => appender.append({ tenant: "acme", topic: "orders" }, [event("1")], { dedupeWindowMs: 60_000 })
  return { append, sent: () => sent, pending: () => appender.pendingBytes }
}

test("an event that the server knows by id after id, all gone, is stored in the end", async () => {
  const { append } = appenderTo((sent) => ({ kind: sent <= 200 ? "duplicate" : "stored", sequence: sent }))
  expect(await append()).toMatchObject([{ duplicate: false }])
})

test("one that a server never ceases to know is refused: by the same event twice, and by too many", async () => {
  const same = appenderTo(() => ({ kind: "duplicate", sequence: 7 }))
  await expect(same.append()).rejects.toThrow(OverloadError)
  expect([same.sent(), same.pending()]).toEqual([2, 0])
  const ever = appenderTo((sent) => ({ kind: "duplicate", sequence: sent }))
  await expect(ever.append()).rejects.toThrow(OverloadError)
  expect([ever.sent(), ever.pending()]).toEqual([1_001, 0])
})
