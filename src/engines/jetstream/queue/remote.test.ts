import type { NatsConnection } from "@nats-io/nats-core"
import { expect, test } from "vitest"
import { UnavailableError } from "../../../core/errors.ts"
import { RemoteShard } from "./remote.ts"

/** A shard whose holder answers so many requests for leases, each with as many as it is asked for, and then is gone. */
function shardThatAnswers(count: number): RemoteShard {
  let answered = 0
  const request = async (_: string, body: string) => {
    if (answered === count) throw new Error("timeout")
    answered++
    const [{ max }] = JSON.parse(body).args
    const value = Array.from({ length: max }, (_, i) => ({ token: answered * 1_000 + i }))
    return { json: () => ({ value }) }
  }
  const nats = { request } as unknown as NatsConnection
  return new RemoteShard({ nats, number: 0, subject: "shard.0", requestBytesMax: 1 << 20, heard() {} })
}

test("what was leased is given, though the holder is gone before all of it was", async () => {
  const wanted = { lane: "acme/d1", max: 800, leaseMs: 1_000 }
  expect((await shardThatAnswers(2).lease(wanted)).length).toBe(800)
  expect((await shardThatAnswers(1).lease(wanted)).length).toBe(500)
  await expect(shardThatAnswers(0).lease(wanted)).rejects.toThrow(UnavailableError)
})
