import fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { Outcome } from "../core/delivery.ts"
import { Delivering, failed, ok } from "../testing/delivering.ts"
import { Faring } from "./faring.ts"
import { RestingLanes } from "./resting.ts"

const refused: Outcome = {
  kind: "failed",
  detail: `503 ${"x".repeat(1_000)}`,
  permanent: false,
  response: { status: 503, headers: {}, body: "", bodyEncoding: "utf8", bodyTruncated: false },
}

describe("what came of a lane's attempts", () => {
  it("counts those of the last five minutes, in slices of 30 s, as a naive count does", () => {
    const attempt = fc.record({ afterMs: fc.nat({ max: 200_000 }), delivers: fc.boolean() })
    fc.assert(
      fc.property(fc.array(attempt), fc.nat({ max: 600_000 }), (attempts, thenMs) => {
        const faring = new Faring()
        const seen: { readonly at: number; readonly delivers: boolean }[] = []
        let now = 12_345
        for (const { afterMs, delivers } of attempts) {
          now += afterMs
          faring.take(delivers ? ok : failed, now, 0)
          seen.push({ at: now, delivers })
        }
        now += thenMs
        const first = (Math.floor(now / 30_000) - 9) * 30_000
        const recent = seen.filter(({ at }) => at >= first)
        const delivered = recent.filter(({ delivers }) => delivers).length
        expect(faring.report(now, false)).toMatchObject({ attempts: recent.length, delivered })
      }),
    )
  })

  it("keeps the last failure, shortened, also when others have delivered since", () => {
    const faring = new Faring()
    faring.take(refused, 1, 1_000)
    faring.take(ok, 2, 2_000)
    expect(faring.lastError).toEqual({ at: 1_000, detail: refused.detail.slice(0, 200), status: 503 })
  })

  it("says what a lane waits for while it rests, until an attempt is made", () => {
    const faring = new Faring()
    const waits = { ...refused, unsent: true, awaits: "agreement" } as const
    faring.note(waits, 1_000)
    expect([faring.report(1, true).awaits, faring.report(1, false).awaits]).toEqual(["agreement", undefined])
    faring.take(failed, 2, 2_000)
    expect(faring.report(2, true).awaits).toBeUndefined()
  })

  it("is kept of a bounded number of lanes that rest, where there was a failure", () => {
    const resting = new RestingLanes()
    const of = (outcome: Outcome) => {
      const faring = new Faring()
      faring.take(outcome, 0, 0)
      return faring
    }
    resting.keep("fine", of(ok))
    for (let n = 0; n < 5_000; n++) resting.keep(`failing${n}`, of(failed))
    expect(resting.report("fine", 0)).toEqual({ breaker: "closed", inFlight: 0, attempts: 0, delivered: 0 })
    expect(resting.report("failing0", 0).lastError).toBeUndefined()
    expect(resting.report("failing4999", 0)).toMatchObject({ attempts: 1, lastError: { detail: "500" } })
    expect(resting.take("failing4999").lastError).toBeDefined()
    expect(resting.report("failing4999", 0).lastError).toBeUndefined()
  })
})

describe("a lane's report", () => {
  const reportOf = async (hub: Delivering, name: string) =>
    (await hub.engine.queue.statusOf([`default/${name}`])).get(`default/${name}`)!

  it("tells of an open breaker until when, what failed, and what waits since when", async () => {
    const hub = await Delivering.start()
    await hub.connect("a", () => refused, { retry: { delaysMs: [60_000], jitter: 0, attemptsMax: 9, ageMaxMs: 1e9 } })
    const firstAt = hub.power.clock.now()
    await hub.owe(30, "a")
    await hub.machine.until(async () => (await reportOf(hub, "a")).report?.breaker === "open")
    const { open, oldestDueAt, report } = await reportOf(hub, "a")
    expect(open).toBe(30)
    expect(oldestDueAt! - firstAt).toBeLessThan(1_000)
    expect(report!.restsUntil! - hub.power.clock.now()).toBeLessThanOrEqual(1_000)
    expect(report).toMatchObject({ breaker: "open", delivered: 0, lastError: { status: 503 } })
    expect(report!.attempts).toBeGreaterThanOrEqual(10)
    expect(report!.lastError!.detail).toHaveLength(200)

    hub.behaviours.set("a", () => ok)
    await hub.empty("a")
    const after = (await reportOf(hub, "a")).report!
    expect(after).toMatchObject({ breaker: "closed", inFlight: 0, lastError: { status: 503 } })
    expect(after.delivered).toBe(30)
    expect(after.restsUntil).toBeUndefined()
  })

  it("tells what is under way, and keeps the last failure when there was nothing to do for long", async () => {
    const hub = await Delivering.start({ idleMs: 1_000 })
    let answer = (_: Outcome) => {}
    const behave = () => new Promise<Outcome>((resolve) => (answer = resolve))
    await hub.connect("a", behave, { retry: { delaysMs: [], jitter: 0, attemptsMax: 1, ageMaxMs: 1e9 } })
    await hub.owe(1, "a")
    await hub.machine.until(() => hub.sentTo("a") === 1)
    expect((await reportOf(hub, "a")).report).toMatchObject({ breaker: "closed", inFlight: 1, attempts: 0 })
    answer(failed)
    await hub.empty("a")
    await hub.machine.clock.advance(600_000)
    expect(hub.worker.lanes()).toEqual([])
    expect((await reportOf(hub, "a")).report).toMatchObject({ inFlight: 0, attempts: 0, lastError: { detail: "500" } })
    await hub.machine.run(hub.engine.catalog.delete("destination/default/a"))
    await hub.machine.clock.advance(100)
    expect((await reportOf(hub, "a")).report!.lastError).toBeUndefined()
  })
})
