import { type NatsConnection, nuid } from "@nats-io/nats-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import type { Assignment } from "../../core/assignments.ts"
import { systemClock } from "../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../testing/nats.ts"
import { type JetStreamAssignments, openAssignments } from "./assignments.ts"
import { Bucket } from "./bucket.ts"
import { connectNats } from "./connection.ts"
import { silentLog } from "./log.fixture.ts"

const times = { beatMs: 60, giveUpMs: 250 }
/** Long enough for a connection to come back. */
const patientTimes = { beatMs: 400, giveUpMs: 2_500 }
const there = natsAvailable() !== undefined
const title = (text: string) => (there ? text : `${text} (skipped: there is no nats-server)`)

let nats: Nats
beforeAll(async () => {
  if (there) nats = await startNats()
})
afterAll(() => nats?.stop())

/** A process that takes assignments, and works on each until it is lost. */
interface Worker {
  readonly assignments: JetStreamAssignments
  readonly connection: NatsConnection
  readonly has: Map<number, Assignment>
  /** Every epoch that it had, by assignment. */
  readonly had: (readonly [number, number])[]
  stop(): Promise<void>
}

const changed = { wake: () => {} }

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise<void>((resolve) => (changed.wake = resolve))
}

async function work(name: string, count: number, given = times, yields = false): Promise<Worker> {
  const connection = await connectNats({ servers: nats.url.split(","), log: silentLog })
  const bucket = await Bucket.open({ nats: connection, clock: systemClock, log: silentLog, name, replicas: 1 })
  const assignments = openAssignments({ bucket, clock: systemClock, log: silentLog, times: given, yields })
  const stop = new AbortController()
  const worker: Worker = {
    assignments,
    connection,
    has: new Map(),
    had: [],
    async stop() {
      stop.abort()
      await assignments.close()
      await bucket.close()
      await connection.close()
    },
  }
  void (async () => {
    for await (const assignment of assignments.take("route", count, stop.signal)) {
      worker.has.set(assignment.number, assignment)
      worker.had.push([assignment.number, assignment.epoch])
      changed.wake()
      const lose = () => {
        worker.has.delete(assignment.number)
        changed.wake()
        void assignment.release()
      }
      if (assignment.lost.aborted) lose()
      else assignment.lost.addEventListener("abort", lose)
    }
  })()
  return worker
}

const sizes = (...workers: readonly Worker[]) => workers.map(({ has }) => has.size).sort()
const sum = (...workers: readonly Worker[]) => workers.reduce((total, { has }) => total + has.size, 0)

test.skipIf(!there)(
  title("a process that yields has assignments only while no other one lives"),
  async () => {
    const name = `assignments-${nuid.next()}`
    const held = await work(name, 3, times, true)
    await until(() => sum(held) === 3)
    const other = await work(name, 3)
    await until(() => sum(other) === 3)
    expect(sizes(held, other)).toEqual([0, 3])
    await other.stop()
    await until(() => sum(held) === 3)
    await held.stop()
  },
  30_000,
)

test.skipIf(!there)(
  title("every assignment is somebody's, and they are spread evenly as processes come and go"),
  async () => {
    const name = `assignments-${nuid.next()}`
    const one = await work(name, 5)
    await until(() => one.has.size === 5)
    const two = await work(name, 5)
    const three = await work(name, 5)
    await until(() => String(sizes(one, two, three)) === "1,2,2" && sum(one, two, three) === 5)
    await two.stop()
    await until(() => String(sizes(one, three)) === "2,3")
    await one.stop()
    await until(() => three.has.size === 5)
    await three.stop()
  },
)

test.skipIf(!there)(
  title("a dead process's assignments move on, and each holder's epoch is greater than the last"),
  async () => {
    const name = `assignments-${nuid.next()}`
    const one = await work(name, 4)
    await until(() => one.has.size === 4)
    const two = await work(name, 4)
    await until(() => one.has.size === 2 && two.has.size === 2)
    const left = [...two.has.values()]
    await two.connection.close()
    await until(() => one.has.size === 4)
    for (const assignment of left) expect(one.has.get(assignment.number)!.epoch).toBeGreaterThan(assignment.epoch)
    // Whoever hears nothing of NATS any more gives up on its own.
    await until(() => two.has.size === 0)
    const epochs = [...one.had, ...two.had].filter(([number]) => number === 0).map(([, epoch]) => epoch)
    expect(new Set(epochs).size).toBe(epochs.length)
    await one.stop()
  },
)

test.skipIf(!there)(title("who is cut off for a moment only keeps what it has"), async () => {
  const name = `assignments-${nuid.next()}`
  const one = await work(name, 2, patientTimes)
  await until(() => one.has.size === 2)
  const before = [...one.had]
  await one.connection.reconnect()
  const two = await work(name, 2, patientTimes)
  await until(() => one.has.size === 1 && two.has.size === 1)
  expect(one.had).toEqual(before)
  await Promise.all([one.stop(), two.stop()])
})
