import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type RestartableHub, startHubOn, until } from "./restart.fixture.ts"
import { type Nats, natsAvailable, startNats } from "./testing/nats.ts"

/*
 * The whole hub, on each engine, as its clients see it: triggers start anywhere while events are published, are paused and resumed,
 * and a worker is given each of their events once. What src/route/start-anywhere.test.ts has for the routing alone, with crashes.
 */

type Kind = "now" | "oldest" | "cursor" | "time"

type Step =
  | { readonly kind: "publish"; readonly count: number }
  | { readonly kind: "make"; readonly start: Kind; readonly at: number }
  | { readonly kind: "pause" | "resume"; readonly at: number }

const at = fc.nat(30)
const steps: fc.Arbitrary<readonly Step[]> = fc.array(
  fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ kind: fc.constant("publish" as const), count: fc.integer({ min: 1, max: 8 }) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        ...{ kind: fc.constant("make" as const), at },
        start: fc.constantFrom<Kind>("now", "oldest", "cursor", "time"),
      }),
    },
    { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom("pause" as const, "resume" as const), at }) },
  ),
  { minLength: 12, maxLength: 24 },
)

interface Told {
  readonly id: string
  readonly redcarcursor: string
  readonly redcartime: string
}

/** Whether an event, published in its turn, is a trigger's; undefined: it may be, it was on its way. */
type Says = (event: Told, turn: number) => boolean | undefined

/** One run, with a topic and a work queue of its own. */
class Flow {
  readonly #hub: RestartableHub
  readonly #name: string
  readonly #publishing: Promise<void>[] = []
  /** By the turn in which each was published; true once it is acknowledged. */
  readonly #acknowledged: boolean[] = []
  readonly #triggers: { readonly id: string; readonly says: Says }[] = []
  readonly #given = new Map<string, number>()
  #isOver = false

  constructor(hub: RestartableHub, name: string) {
    this.#hub = hub
    this.#name = name
  }

  async #ask(method: string, path: string, body?: unknown) {
    const answer = await this.#hub.call(method, path, body)
    expect(answer.status, `${method} ${path}: ${JSON.stringify(answer.body)}`).toBeLessThan(300)
    return answer.body
  }

  async run(all: readonly Step[]): Promise<void> {
    await this.#ask("POST", "/v1/destinations", { id: this.#name, kind: "queue", config: {} })
    const working = this.#work()
    this.#publish(2)
    for (const step of all) {
      if (step.kind === "publish") this.#publish(step.count)
      else if (step.kind === "make") await this.#make(step.start, step.at)
      else await this.#pauseOrResume(step.kind, step.at)
    }
    await this.#finish()
    this.#isOver = true
    await working
    for (const [what, times] of this.#given) expect([what, times]).toEqual([what, 1])
  }

  /** Waits for none of them. */
  #publish(count: number): void {
    for (let n = 0; n < count; n++) {
      const turn = this.#acknowledged.push(false) - 1
      const event = { specversion: "1.0", id: String(turn), source: "/shop", type: "order.made" }
      const publishing = this.#ask("POST", `/v1/topics/${this.#name}/events`, event)
      this.#publishing.push(
        publishing.then(() => {
          this.#acknowledged[turn] = true
        }),
      )
    }
  }

  async #events(): Promise<readonly Told[]> {
    return this.#ask("GET", `/v1/topics/${this.#name}/events?limit=10000`)
  }

  async #make(kind: Kind, at: number): Promise<void> {
    await this.#publishing[0]
    const known = await this.#events()
    const { redcarcursor: cursor, redcartime: time } = known[at % known.length]!
    const before = [...this.#acknowledged]
    const id = `${this.#name}-${this.#triggers.length}`
    const start = { now: "now", oldest: "oldest", cursor: { cursor }, time: { time } }[kind]
    await this.#ask("POST", "/v1/triggers", { id, topic: this.#name, destination: this.#name, start })
    const after = this.#acknowledged.length
    const says: Record<Kind, Says> = {
      now: (_, turn) => (before[turn] ? false : turn >= after ? true : undefined),
      oldest: () => true,
      cursor: (event) => event.redcarcursor > cursor,
      time: (event) => event.redcartime >= time,
    }
    this.#triggers.push({ id, says: says[kind] })
  }

  async #pauseOrResume(kind: "pause" | "resume", at: number): Promise<void> {
    const trigger = this.#triggers[at % Math.max(1, this.#triggers.length)]
    if (trigger !== undefined) await this.#ask("POST", `/v1/triggers/${trigger.id}/${kind}`, {})
  }

  async #work(): Promise<void> {
    const path = `/v1/queues/${this.#name}`
    // Ends: with the run.
    while (!this.#isOver) {
      const { items } = await this.#ask("POST", `${path}/lease`, { max: 100, waitFor: "200ms" })
      for (const { trigger, event } of items) {
        const what = `${trigger} ${event.id}`
        this.#given.set(what, (this.#given.get(what) ?? 0) + 1)
      }
      const settlements = items.map(({ lease }: { lease: string }) => ({ lease, result: "done" }))
      if (items.length > 0) await this.#ask("POST", `${path}/settle`, { settlements })
    }
  }

  /** All go on; once each trigger has been given what comes last, nothing of it is left. */
  async #finish(): Promise<void> {
    for (const i of this.#triggers.keys()) await this.#pauseOrResume("resume", i)
    await Promise.all(this.#publishing)
    const events = await this.#events()
    const wanted = new Map<string, boolean | undefined>()
    for (const { id, says } of this.#triggers)
      for (const event of events) wanted.set(`${id} ${event.id}`, says(event, Number(event.id)))
    const last = this.#acknowledged.length
    this.#publish(1)
    await Promise.all(this.#publishing)
    const left = () => [
      ...[...wanted].flatMap(([what, is]) => (is && !this.#given.has(what) ? [what] : [])),
      ...this.#triggers.flatMap(({ id }) => (this.#given.has(`${id} ${last}`) ? [] : [`${id} ${last}`])),
    ]
    await until(() => left().length === 0).catch(() => expect(left()).toEqual([]))
    await until(async () => (await this.#ask("GET", `/v1/queues/${this.#name}`)).open === 0)
    for (const [what, is] of wanted) if (is === false) expect(this.#given.has(what), what).toBe(false)
  }
}

const directories: string[] = []
function directory(): string {
  const made = mkdtempSync(join(tmpdir(), "redcar-anywhere-"))
  directories.push(made)
  return made
}
afterAll(() => {
  for (const made of directories) rmSync(made, { recursive: true, force: true })
})

/** Runs of one hub, one after the other. */
async function runsOn(hub: RestartableHub, numRuns: number): Promise<void> {
  let run = 0
  const property = fc.asyncProperty(steps, (all) => new Flow(hub, `flow${run++}`).run(all))
  await fc.assert(property, { numRuns, endOnFailure: true })
}

test("on the embedded engine", async () => {
  const hub = await startHubOn(directory())
  await runsOn(hub, 6).finally(() => hub.stop())
}, 120_000)

describe.skipIf(natsAvailable() === undefined)("on NATS (skipped where there is no nats-server)", () => {
  let nats: Nats
  beforeAll(async () => {
    nats = await startNats()
  })
  afterAll(() => nats.stop())

  test("as on the embedded one", async () => {
    const hub = await startHubOn(directory(), { engine: nats.url })
    await runsOn(hub, 3).finally(() => hub.stop())
  }, 120_000)
})
