import type { NatsConnection } from "@nats-io/nats-core"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Delivery, laneOf } from "../../../core/delivery.ts"
import { StorageError } from "../../../core/errors.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { delivery } from "../../conformance/queue-fixture.ts"
import { cursorAt, TestHub, type TestProcess } from "./queue-harness.fixture.ts"

const shards = 4
const events = 24
const lanes = 9

/** What becomes of a request to a shard: it goes well, never arrives, its answer is lost, or it comes once more, later. */
type Fate = "well" | "lost" | "unanswered" | "again"
/** What happens between two calls. */
type Between = "nothing" | "deliver" | "router dies" | "holder dies"

interface Turn {
  /** Events of the next call. */
  readonly events: number
  readonly fates: readonly Fate[]
  readonly between: Between
}

const turn: fc.Arbitrary<Turn> = fc.record({
  events: fc.integer({ min: 1, max: 5 }),
  fates: fc.array(
    fc.oneof(
      { weight: 5, arbitrary: fc.constant<Fate>("well") },
      { weight: 3, arbitrary: fc.constantFrom<Fate>("lost", "unanswered", "again") },
    ),
    { maxLength: 6 },
  ),
  between: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom<Between>("deliver", "nothing") },
    { weight: 1, arbitrary: fc.constantFrom<Between>("router dies", "holder dies") },
  ),
})

/** Whom each event is for: few, or many. */
const audience = fc.array(fc.uniqueArray(fc.integer({ min: 0, max: lanes - 1 }), { maxLength: 4 }), {
  minLength: events,
  maxLength: events,
})

/** A connection on which requests to shards fare as `fates` says. */
function faulty(nats: NatsConnection, fates: Fate[], again: (() => Promise<unknown>)[]): NatsConnection {
  const request: NatsConnection["request"] = async (subject, payload, options) => {
    const isEnqueue = String(payload).startsWith('{"operation":"enqueue"')
    const fate = isEnqueue ? (fates.shift() ?? "well") : "well"
    if (fate === "lost") throw new Error("lost")
    const answer = await nats.request(subject, payload, options)
    if (fate === "again") again.push(() => nats.request(subject, payload, options))
    if (fate === "unanswered") throw new Error("no answer")
    return answer
  }
  return new Proxy(nats, {
    get(target, name) {
      if (name === "request") return request
      // A call of more than a few deliveries crosses in several messages.
      if (name === "info") return { ...target.info, max_payload: 4_096 + 120 }
      const member: unknown = Reflect.get(target, name)
      return typeof member === "function" ? member.bind(target) : member
    },
  })
}

/** A reader of a log that may die at any moment, and what holds its deliveries. */
class Story {
  readonly #hub: TestHub
  readonly #owed: readonly (readonly Delivery[])[]
  readonly #fates: Fate[] = []
  readonly #again: (() => Promise<unknown>)[] = []
  #late: (() => Promise<unknown>)[] = []
  readonly delivered: string[] = []
  #holder!: TestProcess
  #router!: TestProcess
  /** Where the reader is: so many events are behind it. */
  #at = 0

  constructor(hub: TestHub, owed: readonly (readonly Delivery[])[]) {
    this.#hub = hub
    this.#owed = owed
  }

  async begin(): Promise<void> {
    await this.#startHolder()
    await this.#startRouter()
  }

  async take({ events: count, fates, between }: Turn): Promise<void> {
    this.#fates.splice(0, Number.POSITIVE_INFINITY, ...fates)
    const to = Math.min(events, this.#at + count)
    const failed = await this.#route(to)
    if (between === "deliver") await this.#deliver()
    if (between === "holder dies") {
      await this.#holder.die()
      await this.#startHolder()
    }
    // As the router does it: the same call again and again, unless it dies.
    for (let again = failed && between !== "router dies"; again; ) again = await this.#route(to)
    if (between === "router dies") {
      await this.#router.die()
      await this.#startRouter()
    }
    // Those of the turn before last come late.
    for (const send of this.#late) await send().catch(() => undefined)
    this.#late = this.#again.splice(0)
  }

  async end(): Promise<void> {
    this.#fates.length = 0
    await this.#router.die()
    await this.#startRouter()
    while (this.#at < events) expect(await this.#route(Math.min(events, this.#at + 3))).toBe(false)
    await this.#deliver()
  }

  /** Answers whether it failed. */
  async #route(to: number): Promise<boolean> {
    if (to === this.#at) return false
    const deliveries = this.#owed.slice(this.#at, to).flat()
    try {
      await this.#router.queue.enqueue(deliveries, { reader: "router", cursor: cursorAt(to) })
    } catch (error) {
      expect(error).toBeInstanceOf(StorageError)
      return true
    }
    this.#at = to
    return false
  }

  async #deliver(): Promise<void> {
    const { queue } = this.#holder
    for (let i = 0; i < lanes; i++) {
      for (const lease of await queue.lease({ lane: `acme/d${i}`, max: 1_000, leaseMs: 60_000 })) {
        this.delivered.push(lease.delivery.id)
        await queue.end(lease, { kind: "done" })
      }
    }
  }

  async #startHolder(): Promise<void> {
    this.#holder = await this.#hub.start(systemClock, true)
  }

  async #startRouter(): Promise<void> {
    const wrap = (nats: NatsConnection) => faulty(nats, this.#fates, this.#again)
    this.#router = await this.#hub.start(systemClock, false, {}, wrap)
    const saved = await this.#router.queue.position("router")
    this.#at = saved === undefined ? 0 : Number.parseInt(saved.slice(2), 36)
  }
}

if (natsAvailable() === undefined) {
  test.skip("deliveries once over shards: there is no nats-server here; NATS_SERVER names its program", () => {})
} else {
  describe("a reader whose deliveries go to several shards", () => {
    let server: Nats
    let runs = 0
    beforeAll(async () => {
      server = await startNats()
    })
    afterAll(() => server?.stop())

    test("owes each once, whatever is lost, comes twice or dies in between", async () => {
      await fc.assert(
        fc.asyncProperty(audience, fc.array(turn, { minLength: 4, maxLength: 12 }), async (audiences, turns) => {
          const hub = new TestHub(server.url, `x${++runs}`, shards)
          try {
            const owed = audiences.map((each, i) =>
              each.map((n) => delivery(cursorAt(i + 1), { trigger: `t${n}`, destination: `d${n}` })),
            )
            const story = new Story(hub, owed)
            await story.begin()
            for (const turn of turns) await story.take(turn)
            await story.end()
            expect(story.delivered.toSorted()).toEqual(
              owed
                .flat()
                .map(({ id }) => id)
                .toSorted(),
            )
            expect(new Set(owed.flat().map(laneOf)).size).toBeLessThanOrEqual(lanes)
          } finally {
            await hub.dispose()
          }
        }),
        { numRuns: 40, endOnFailure: true },
      )
    })
  })
}
