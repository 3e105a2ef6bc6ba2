import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { createSimulatedClock, quiesce } from "../../../testing/clock.ts"
import { type Answer, passing } from "./answer.ts"
import { type Outgoing, PublishPipeline, type TopicOrder, type Wire } from "./pipeline.ts"
import { Voids } from "./voids.ts"

/** A server of one stream that loses what it is told to, and forgets to answer; it knows messages again. */
function pipelineUnderTest() {
  const clock = createSimulatedClock(1_000_000)
  const stored: number[] = []
  const faults = { lose: false, mute: false, refuse: false, up: true, answering: true }
  const wire: Wire = {
    clock,
    get up() {
      return faults.up
    },
    send(pipeline, outgoing) {
      if (faults.lose || !faults.up) return
      const { number } = outgoing
      const known = stored.indexOf(number)
      if (known < 0 && !faults.refuse) stored.push(number)
      const answer: Answer = faults.refuse
        ? passing
        : { kind: known < 0 ? "stored" : "duplicate", sequence: stored.indexOf(number) + 1 }
      if (!faults.mute) clock.after(1, () => pipeline.answered(outgoing, answer))
    },
    forget() {},
    probe: async () => faults.answering,
  }
  const pipeline = new PublishPipeline(wire, new Voids())
  const topics = Array.from({ length: 3 }, (): TopicOrder => ({ stored: 0, open: 0, settled: undefined }))
  const answers = new Map<number, Answer["kind"]>()
  const put = (topic: number): Outgoing => {
    const number = pipeline.nextNumber()
    const outgoing: Outgoing = {
      topic: topics[topic]!,
      number,
      numbers: [number],
      voids: undefined,
      bytes: 100,
      largestBytes: 100,
      deadline: clock.now() + 5_000,
      frames: () => [],
      done: ({ kind }) => answers.set(number, kind),
      sentAt: 0,
      sendings: 0,
      failed: false,
      held: undefined,
      token: undefined,
    }
    pipeline.put(outgoing)
    return outgoing
  }
  return { clock, stored, faults, pipeline, put, answers }
}

describe("a pipeline", () => {
  test("sends again what is not answered, and stores it once", async () => {
    const { clock, stored, faults, put, answers } = pipelineUnderTest()
    put(0)
    faults.mute = true
    put(0)
    faults.lose = true
    put(0)
    faults.mute = false
    faults.lose = false
    await clock.advance(2_500)
    expect(stored).toEqual([1, 2, 3])
    expect([...answers]).toEqual([
      [1, "stored"],
      [2, "duplicate"],
      [3, "stored"],
    ])
  })

  test("gives up what a later message of its topic has overtaken, and tells that it is void", async () => {
    const { clock, stored, faults, pipeline, put, answers } = pipelineUnderTest()
    faults.lose = true
    put(0)
    put(1)
    faults.lose = false
    put(0)
    await clock.advance(3_000)
    expect(stored).toEqual([3, 2])
    expect([answers.get(1), answers.get(2), answers.get(3)]).toEqual(["unanswered", "stored", "stored"])
    expect(pipeline.voids.take()).toEqual([1])
  })

  test("takes nothing while nobody answers, and again when somebody does", async () => {
    const { clock, faults, pipeline, put, answers } = pipelineUnderTest()
    faults.lose = true
    faults.answering = false
    put(0)
    await clock.advance(6_000)
    expect(answers.get(1)).toBe("unanswered")
    expect(pipeline.refusing).toBe(true)
    faults.lose = false
    faults.answering = true
    await clock.advance(500)
    await quiesce()
    await clock.advance(500)
    expect(pipeline.refusing).toBe(false)
    put(0)
    await clock.advance(10)
    expect(answers.get(2)).toBe("stored")
  })

  test("holds everything back while someone has it alone", async () => {
    const { clock, stored, put, pipeline } = pipelineUnderTest()
    put(0)
    const work = Promise.withResolvers<void>()
    const alone = pipeline.alone(() => work.promise)
    put(1)
    await clock.advance(100)
    expect(stored).toEqual([1])
    work.resolve()
    await alone
    await clock.advance(100)
    expect(stored).toEqual([1, 2])
  })

  test("whatever befalls it: each call is answered once, and what was acknowledged is stored in the order of calls", async () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ kind: fc.constant("put" as const), topic: fc.nat(2) }) },
      {
        weight: 2,
        arbitrary: fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 1, max: 3_000 }) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({
          kind: fc.constant("fault" as const),
          name: fc.constantFrom("lose" as const, "mute" as const, "refuse" as const, "cut" as const),
          on: fc.boolean(),
        }),
      },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60, size: "max" }), async (steps) => {
        const { clock, stored, faults, pipeline, put, answers } = pipelineUnderTest()
        const topics = new Map<number, number>()
        const set = (name: "lose" | "mute" | "refuse" | "cut", on: boolean) => {
          if (name !== "cut") faults[name] = on
          else if (faults.up === on) {
            faults.up = !on
            if (on) pipeline.cut()
            else pipeline.restored()
          }
        }
        for (const one of steps) {
          if (one.kind === "wait") await clock.advance(one.ms)
          else if (one.kind === "fault") set(one.name, one.on)
          else if (!pipeline.refusing) topics.set(put(one.topic).number, one.topic)
        }
        for (const name of ["lose", "mute", "refuse", "cut"] as const) set(name, false)
        await clock.advance(12_000)
        expect([...answers.keys()].toSorted((a, b) => a - b)).toEqual([...topics.keys()])
        const acknowledged = [...answers].flatMap(([number, kind]) => (kind === "unanswered" ? [] : [number]))
        expect(stored).toEqual(expect.arrayContaining(acknowledged))
        for (const topic of [0, 1, 2]) {
          const own = stored.filter((number) => topics.get(number) === topic && acknowledged.includes(number))
          expect(own).toEqual(own.toSorted((a, b) => a - b))
        }
      }),
      { numRuns: 300 },
    )
  })
})
