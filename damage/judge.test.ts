import { expect, test } from "vitest"
import type { Account, Damage, Shown } from "./account.ts"
import { cursorAt } from "./account.ts"
import { judge } from "./judge.ts"
import { eventOf, type Read, topics, triggersOf } from "./workload.ts"

const stored = [0, 1, 2, 3, 5, 6].map((number, i) => [cursorAt(8 + 800 * i), eventOf(number)] as const)
const freshAt = cursorAt(80_000)

function readOf(number: number, cursor: string): Read {
  const { id, source, type, data, dataKind } = eventOf(number)
  const content = dataKind === "json" ? { data: JSON.parse(data) as unknown } : { data_base64: data }
  return { id, source, type, redcarcursor: cursor, ...content }
}

function byTopic(all: readonly (readonly [cursor: string, number: number])[]): ReadonlyMap<string, readonly Read[]> {
  const reads = all.map(([cursor, number]) => ({ topic: eventOf(number).topic, read: readOf(number, cursor) }))
  return new Map(topics.map((topic) => [topic, reads.filter((one) => one.topic === topic).map(({ read }) => read)]))
}

const places = stored.map(([cursor, { number }]) => [cursor, number] as const)

/** Everything came as it has to: the dead are dead, what waits for hours waits, the rest is delivered. */
const shown: Shown = {
  health: [],
  resources: { topics: [{ id: "orders", labels: {} }], triggers: [{ id: "ship" }] },
  read: byTopic(places),
  fresh: [{ number: 50_000, id: "d50000", cursor: freshAt }],
  earlier: new Set(),
  again: [{ number: 0, id: "d0", cursor: stored[0]![0], duplicate: true }],
  readAtEnd: byTopic([...places, [freshAt, 50_000]]),
  arrivals: [...places, [freshAt, 50_000] as const].flatMap(([cursor, number]) =>
    triggersOf(eventOf(number))
      .filter(({ name }) => name !== "later" && name !== "dead")
      .filter(({ name }) => !(name === "ship" && number === 0))
      .map(({ name }) => ({ trigger: name, id: `d${number}`, cursor, at: 0, taken: true, wrong: undefined })),
  ),
  letters: [{ id: `${stored[2]![0]}.dead`, trigger: "dead", cursor: stored[2]![0], reason: "exhausted" }],
  later: new Map([[`${stored[1]![0]}.later`, "parked"]]),
  alone: new Map([[stored[0]![0], readOf(0, stored[0]![0])]]),
  end: 0,
}

const noDamage: Damage = {
  what: ["nothing"],
  touched: new Set(),
  logDiffers: false,
  stateDiffers: false,
  isTold: false,
}

function judged(change: Partial<Shown>, damage: Partial<Damage> = {}, clean = true): readonly string[] {
  const account: Account = {
    promised: {
      events: new Map(stored),
      possible: new Set(stored.map(([, { number }]) => number)),
      done: new Set(["ship d0"]),
      unsure: new Set(),
      waiting: new Set(),
      stateEnd: stored.at(clean ? -1 : -2)![0],
      dead: new Set([`${stored[2]![0]}.dead`]),
      resources: shown.resources,
    },
    own: new Map([
      [`${stored[0]![0]}.ship`, [cursorAt(40_000)]],
      [`${stored[2]![0]}.dead`, [cursorAt(41_000)]],
    ]),
    clean,
    damage: { ...noDamage, ...damage },
    shown: { ...shown, ...change },
  }
  return judge(account)
}

const [first, second, third] = stored.map(([cursor]) => cursor) as [string, string, string]
const without = (cursor: string) => byTopic(places.filter(([at]) => at !== cursor))
const damaged = (...cursors: readonly string[]) => ({
  what: ["a bit"],
  touched: new Set(cursors),
  logDiffers: true,
})
const notOf = (cursor: string) => shown.arrivals.filter((one) => one.cursor !== cursor)

test("a hub on which nothing is wrong has no fault", () => {
  expect(judged({})).toEqual([])
})

test("an event that is missing has to be damaged, and named", () => {
  const letters = [...shown.letters, { id: `${second}.parked`, trigger: "parked", cursor: second, reason: "damaged" }]
  const gone = { read: without(second), arrivals: notOf(second), letters }
  expect(judged(gone)).toEqual([`1 events that were not damaged cannot be read (payments d1 at ${second})`])
  const unnamed = `1 damaged events are missing, and nothing names them (payments d1 at ${second})`
  expect(judged(gone, damaged(second))).toEqual([unnamed])
  const elsewhere = [`damaged: x, bytes 0 to 8 (cursors ${third} to ${third}); the events there cannot be read`]
  expect(judged({ ...gone, health: elsewhere }, damaged(second))).toEqual([unnamed])
  const named = [`damaged: x, bytes 0 to 8 (cursors ${first} to ${second}); the events there cannot be read`]
  expect(judged({ ...gone, health: named }, damaged(second))).toEqual([])
})

test("of a hub that was killed, what was damaged at the very end may be a write that was never acknowledged", () => {
  const last = stored.at(-1)![0]
  const gone = { read: without(last), arrivals: notOf(last) }
  expect(judged(gone, damaged(last), false)).toEqual([])
  expect(judged(gone, damaged(last), true)).toHaveLength(1)
})

test("what is read has to be what was published, where it was stored, once", () => {
  const change = (cursor: string, number: number, at: Partial<Read>) => {
    const read = byTopic(places.map(([place, known]) => (place === cursor ? [place, number] : [place, known])))
    return new Map(
      [...read].map(([topic, reads]) => [
        topic,
        reads.map((one) => (one.redcarcursor === cursor ? { ...one, ...at } : one)),
      ]),
    )
  }
  expect(judged({ read: change(third, 2, { type: "more" }) })).toContainEqual(
    `1 events are read with other content (invoices d2 at ${third})`,
  )
  expect(judged({ read: change(third, 100_002, {}) })).toContainEqual(
    `1 events are read that were never published there (invoices d100002 at ${third})`,
  )
  expect(judged({ read: change(third, 2, { redcarcursor: cursorAt(24) }) })).toContainEqual(
    `1 events are read at another place than they were stored (invoices d2 at ${cursorAt(24)})`,
  )
  expect(judged({ readAtEnd: byTopic([...places, [freshAt, 50_000], [cursorAt(80_008), 0]]) })).toContainEqual(
    "1 events of orders are there twice (d0)",
  )
})

test("new events have new places, and are found there", () => {
  const used = judged({ fresh: [{ number: 50_000, id: "d50000", cursor: second }] })
  expect(used).toContainEqual(expect.stringContaining("1 new events have places that were used before"))
  expect(used).toContainEqual(`1 new events cannot be read as they were published (d50000 at ${second})`)
  const again = [{ number: 0, id: "d0", cursor: freshAt }]
  expect(judged({ again })).toEqual([`1 events are stored again though they are there (d0 at ${freshAt})`])
})

test("deliveries are the right ones, all of them, and none that was done", () => {
  const extra = (trigger: string, id: string, cursor: string, wrong?: string) => ({
    arrivals: [...shown.arrivals, { trigger, id, cursor, at: 0, taken: true, wrong }],
  })
  const came = (what: string) => [`1 deliveries came that must not come (${what})`]
  expect(judged(extra("ship", "d5", second))).toEqual(came(`ship d5 at ${second}: another event's delivery`))
  expect(judged(extra("paid", "d5", stored[4]![0]))).toEqual(came(`paid d5 at ${stored[4]![0]}: not this trigger's`))
  expect(judged(extra("held", "d8", freshAt))).toEqual(came(`held d8 at ${freshAt}: never published`))
  expect(judged(extra("ship", "d5", stored[4]![0], "another body"))).toEqual(
    came(`ship d5 at ${stored[4]![0]}: another body`),
  )
  expect(judged(extra("ship", "d0", first))).toEqual([`1 deliveries came again that were done (ship d0 at ${first})`])
  const around = { what: ["a cut"], logDiffers: true }
  const behind = (bytes: number) => ({ ...around, touched: new Set([cursorAt(40_000 + bytes)]) })
  expect(judged(extra("ship", "d0", first), behind(8_000))).toEqual([])
  expect(judged(extra("ship", "d0", first), behind(80_000))).toHaveLength(1)
  expect(judged(extra("ship", "d0", first), behind(-8))).toHaveLength(1)
  expect(judged(extra("ship", "d0", first), damaged(cursorAt(40_000)))).toEqual([])
  expect(judged({ arrivals: notOf(freshAt) })).toContainEqual(
    expect.stringContaining("deliveries that are owed have not come (ship d50000"),
  )
})

test("where the log and the state are damaged, what the hub says to be as it was before may be so", () => {
  const health = ["the hub's own records between cursors 00000000008 and 00000000010 are damaged: changes may be lost"]
  const both = { ...damaged(), stateDiffers: true, isTold: false }
  const extra = [...shown.arrivals, { trigger: "ship", id: "d0", cursor: first, at: 0, taken: true, wrong: undefined }]
  const before = { resources: {}, letters: [], arrivals: extra }
  expect(judged({ ...before, health }, both)).toEqual([])
  expect(judged(before, both)).toHaveLength(3)
  const noted = { ...damaged(cursorAt(40_000), cursorAt(41_000)), stateDiffers: true, isTold: false }
  expect(judged({ ...before, resources: shown.resources }, noted)).toEqual([])
  const idle = { ...before, health, arrivals: shown.arrivals.filter(({ trigger }) => trigger !== "ship") }
  expect(judged(idle, both)).toEqual([])
  const there = { ...shown.resources, destinations: [{ id: "ship" }] }
  expect(judged({ ...idle, resources: there }, both)).toEqual([
    expect.stringContaining("deliveries that are owed have not come (ship "),
  ])
})

test("resources, dead letters and what waits for its retry are there", () => {
  expect(judged({ resources: {} })).toEqual([
    "2 resources are gone or not what they were (topics/orders, triggers/ship)",
  ])
  expect(judged({ letters: [] })).toEqual([`1 dead letters are gone (${third}.dead)`])
  const later = new Map([[`${second}.later`, "due"]])
  expect(judged({ later })).toEqual([`1 deliveries do not wait for their retry any more (${second}.later: due)`])
})

test("the delivery of an event that cannot be read any more is a dead letter that says so", () => {
  const [cursor, event] = stored.find(([, one]) => triggersOf(one).some(({ name }) => name === "parked"))!
  const health = [`damaged: x (cursors ${cursor} to ${cursor})`]
  const gone = { health, read: without(cursor), arrivals: notOf(cursor) }
  const letter = (reason: string) => ({ id: `${cursor}.parked`, trigger: "parked", cursor, reason })
  const what = "1 deliveries of events that cannot be read are no dead letters of the reason damaged"
  expect(event.type).toBe("even")
  expect(judged(gone, damaged(cursor))).toEqual([`${what} (${cursor}.parked: no letter)`])
  expect(judged({ ...gone, letters: [...shown.letters, letter("expired")] }, damaged(cursor))).toEqual([
    `${what} (${cursor}.parked: expired)`,
  ])
  expect(judged({ ...gone, letters: [...shown.letters, letter("damaged")] }, damaged(cursor))).toEqual([])
})

test("an event that is read alone is the same", () => {
  expect(judged({ alone: new Map([[second, readOf(2, second)]]) })).toEqual([
    `1 events are other ones when read alone (d1 at ${second})`,
  ])
  expect(judged({ alone: new Map([[second, undefined]]) })).toEqual([
    `1 events can be read in their topic and not alone (d1 at ${second})`,
  ])
})

test("another start changes nothing", () => {
  const same = { health: [], resources: shown.resources, read: shown.readAtEnd, arrivals: [] }
  expect(judged({ second: same })).toEqual([])
  expect(
    judged({ second: { ...same, read: shown.read, resources: {}, arrivals: shown.arrivals.slice(0, 1) } }),
  ).toEqual([
    "1 events are gone after another start (d50000)",
    "2 resources are gone after another start (topics/orders, triggers/ship)",
    "1 deliveries came again after another start (even d0)",
  ])
})

test("a hub that is whole has nothing to say, and stops in order", () => {
  expect(judged({ health: ["damaged: everything"] })).toEqual([
    "nothing is damaged, and the hub says: damaged: everything",
  ])
  expect(judged({ end: "SIGSEGV" })).toEqual(["the hub did not stop in order (SIGSEGV)"])
})

test("what a kind takes that is told has to be named, also at the log's end", () => {
  const [last, number] = places.at(-1)!
  const damage = { touched: new Set([last]), logDiffers: true, stateDiffers: true }
  const without = {
    read: byTopic(places.slice(0, -1)),
    readAtEnd: byTopic([...places.slice(0, -1), [freshAt, 50_000]]),
  }
  const unnamed = `1 damaged events are missing, and nothing names them (${topics[number % topics.length]} d${number} at ${last})`
  expect(judged(without, { ...damage, isTold: false }, false)).not.toContain(unnamed)
  expect(judged(without, { ...damage, isTold: true }, false)).toContain(unnamed)
})
