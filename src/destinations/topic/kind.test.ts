import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import type { Address } from "../../core/address.ts"
import type { SenderContext } from "../../core/destination.ts"
import { ClosedError, OverloadError, PublishRefusedError, StorageError, StorageFullError } from "../../core/errors.ts"
import { type Attributes, Event } from "../../core/event.ts"
import { hopsMax } from "../../core/hops.ts"
import { openEmbeddedDirectory } from "../../engines/embedded/engine.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { type DestinationHarness, destinationConformance, dispatch, plain } from "../conformance.ts"
import { topicKind } from "./kind.ts"

const target: Address = { tenant: "default", topic: "copies", key: "a" }

async function harness(): Promise<DestinationHarness> {
  const directory = await mkdtemp(join(tmpdir(), "redcar-topic-"))
  const engine = await openEmbeddedDirectory(directory, { clock: systemClock, segmentBytes: 4 << 20, reserveBytes: 0 })
  let refuse = false
  return {
    kind: topicKind,
    config: { topic: "copies:a" },
    context: {
      tenant: "default",
      signingKeys: [],
      async publish(address, event) {
        if (refuse) throw new OverloadError(1_000)
        await engine.log.append(address, [event], { dedupeWindowMs: 60_000 })
      },
    },
    wrong: [
      { config: { topic: "Orders" }, fields: ["topic"] },
      { config: { topic: "orders:" }, fields: ["topic"] },
      { config: { topic: "redcar.attempts" }, fields: ["topic"] },
      { config: { topic: "redcar.dead-letters:1" }, fields: ["topic"] },
      { config: { topic: "" }, fields: [] },
      { config: { topic: 1 }, fields: [] },
    ],
    async received() {
      const arrivals = []
      for await (const { events } of engine.log.read({ where: target })) arrivals.push(...events)
      return arrivals.map(({ event }) => ({ ...plain(event), repeat: event.id }))
    },
    expected({ stored, delivery }) {
      const { attributes, data } = plain(stored.event)
      const { id } = stored.event
      return {
        attributes: { correlationid: id, ...attributes, id: delivery.id, causationid: id, redcarhops: "1" },
        data,
      }
    },
    answer(how) {
      refuse = how !== "accept"
    },
    async close() {
      await engine.close()
      await rm(directory, { recursive: true })
    },
  }
}

destinationConformance("a topic", harness, {
  "an abort ends an attempt that waits, as a failure that may pass":
    "a publish that has begun is the engine's own durable write, which ends by itself and cannot be called back",
})

interface Published {
  readonly address: Address
  readonly event: Event
}

const required = { specversion: "1.0", id: "order-1", source: "/shop", type: "order.placed" }

async function forward(attributes: Attributes, publish?: SenderContext["publish"]) {
  const published: Published[] = []
  const context: SenderContext = {
    tenant: "acme",
    signingKeys: [],
    publish: publish ?? (async (address, event) => void published.push({ address, event })),
  }
  const sender = await topicKind.open({ topic: "copies" }, context)
  const event = Event.of({ ...required, ...attributes }, Buffer.from("[1]"), "json")
  const outcome = await sender.send(dispatch(event), new AbortController().signal)
  return { outcome, published }
}

describe("forwarding into a topic", () => {
  test("keeps the tenant, the source and the data, and says what caused it", async () => {
    const { outcome, published } = await forward({ causationid: "older", correlationid: "c-1" })
    expect(outcome).toEqual({ kind: "delivered", detail: "published to copies" })
    expect(published[0]!.address).toEqual({ tenant: "acme", topic: "copies" })
    expect(published[0]!.event.attributes).toEqual({
      ...required,
      id: "00000000001.trg-orders",
      causationid: "order-1",
      correlationid: "c-1",
      redcarhops: 1,
    })
    expect(published[0]!.event).toMatchObject({ data: Buffer.from("[1]"), dataKind: "json" })
  })

  test("an event that belongs to no flow yet begins one", async () => {
    const { published } = await forward({})
    expect(published[0]!.event.attributes).toMatchObject({ causationid: "order-1", correlationid: "order-1" })
  })

  test.each([
    [0, 1],
    [7, 8],
    ["7", 8],
    [-5, 1],
    ["x", 1],
    ["1.5", 1],
  ])("counts hops on from %j to %i", async (redcarhops, next) => {
    const { published } = await forward({ redcarhops })
    expect(published[0]!.event.attribute("redcarhops")).toBe(next)
  })

  test.each([hopsMax, "8", 9, 2147483647])("ends for good after %j hops", async (redcarhops) => {
    const { outcome, published } = await forward({ redcarhops })
    expect(outcome).toMatchObject({
      kind: "failed",
      permanent: true,
      detail: expect.stringContaining("8 are the most"),
    })
    expect(published).toEqual([])
  })

  test("an event that goes in a circle is forwarded as often as allowed", async () => {
    let attributes: Attributes = {}
    let forwarded = 0
    for (; forwarded < 100; forwarded++) {
      const { published } = await forward(attributes)
      if (published.length === 0) break
      attributes = published[0]!.event.attributes
    }
    expect(forwarded).toBe(hopsMax)
  })

  test("what the hub refuses is a failure that may pass, with the rest it asks for", async () => {
    const refuse = async (error: Error) => (await forward({}, () => Promise.reject(error))).outcome
    expect(await refuse(new OverloadError(1_500))).toEqual({
      kind: "failed",
      detail: "more is waiting to be written than fits",
      permanent: false,
      retryAfterMs: 1_500,
    })
    expect(await refuse(new PublishRefusedError("there is no topic copies"))).toEqual({
      kind: "failed",
      detail: "there is no topic copies",
      permanent: false,
    })
    for (const error of [new StorageFullError("full"), new StorageError("broken"), new ClosedError()])
      expect(await refuse(error)).toEqual({ kind: "failed", detail: error.message, permanent: false })
  })

  test("any other error is a bug and is not hidden", async () => {
    await expect(forward({}, () => Promise.reject(new TypeError("oops")))).rejects.toThrow("oops")
  })
})
