import { expect, test } from "vitest"
import { type Account, judge, type Read } from "./verdict.ts"
import { bodyOf, eventOf, triggersOf } from "./workload.ts"

const published = 60

/** What a run leaves in which nothing went wrong, changed by `change`. */
function accountOf(change: Partial<Account> = {}): Account {
  const events = Array.from({ length: published }, (_, number) => eventOf(number))
  return {
    published,
    acknowledged: new Map(
      events.map((event, i) => [event.id, { event, sentAt: i * 10, answeredAt: i * 10 + 5, duplicate: false }]),
    ),
    failures: [],
    log: events.map((event): Read => ({ ...JSON.parse(bodyOf(event)), topic: event.topic })),
    taken: takenOf(),
    outages: [],
    killsHubs: false,
    hubFaults: [],
    ...change,
  }
}

/** Every delivery that is due, once. */
function takenOf(): Map<string, Map<string, number>> {
  const taken = new Map<string, Map<string, number>>()
  for (let number = 0; number < published; number++) {
    const event = eventOf(number)
    for (const { name } of triggersOf(event)) {
      taken.set(name, (taken.get(name) ?? new Map<string, number>()).set(event.id, 1))
    }
  }
  return taken
}

test("a run in which nothing went wrong has no fault, and its figures are counted", () => {
  const failures = [{ what: 503, sentAt: 0, endedAt: 1 }] as const
  expect(judge(accountOf({ failures }))).toEqual({
    faults: [],
    acknowledged: 60,
    refused: 1,
    // Each event once, and of 20 on the two topics with a second trigger the even half again.
    delivered: 70,
    repeated: 0,
    storedAgain: 0,
  })
})

test("half of the events of a topic match the trigger that takes half", () => {
  const taken = takenOf()
  expect(taken.get("all-orders")!.size).toBe(10)
  expect(taken.get("half-orders")!.size).toBe(5)
})

test("an acknowledged event that is not in the log is found", () => {
  const { log } = accountOf()
  const { faults } = judge(accountOf({ log: log.filter(({ id }) => id !== "e17") }))
  expect(faults).toContain("1 acknowledged events are not in the log (e17)")
})

test("an event that is in the log of another topic or from another source is lost and strange", () => {
  const { log } = accountOf()
  for (const change of [{ topic: "clicks" }, { source: "/elsewhere" }]) {
    const { faults } = judge(accountOf({ log: log.map((read) => (read.id === "e0" ? { ...read, ...change } : read)) }))
    expect(faults).toContain("1 acknowledged events are not in the log (e0)")
    expect(faults).toContain("1 events in the log are not what was published (e0)")
  }
})

test("an event that is in the log twice is found and counted", () => {
  const { log } = accountOf()
  const verdict = judge(accountOf({ log: [...log, log[3]!, log[4]!] }))
  expect(verdict.faults).toEqual(["2 events are in the log again (e3, e4)"])
  expect(verdict.storedAgain).toBe(2)
})

test("an event whose data changed is found, and one that nobody published", () => {
  const { log } = accountOf()
  const changed = log.map((read) => (read.id === "e5" ? { ...read, data: { number: 5, padding: "" } } : read))
  expect(judge(accountOf({ log: changed })).faults).toEqual(["1 events in the log are not what was published (e5)"])
  const strange = [...log, { topic: "orders", id: "x", source: "/faults/0" }]
  expect(judge(accountOf({ log: strange })).faults).toEqual(["1 events in the log are not what was published (x)"])
})

test("a delivery that never came is found, of either kind of trigger", () => {
  for (const name of ["all-orders", "half-orders"]) {
    const taken = takenOf()
    expect(taken.get(name)!.delete("e12")).toBe(true)
    expect(judge(accountOf({ taken })).faults).toEqual([
      `1 deliveries of acknowledged events have not come (${name} e12)`,
    ])
  }
})

test("a delivery that came again is no fault, and counted", () => {
  const taken = takenOf()
  taken.get("all-clicks")!.set("e2", 3)
  expect(judge(accountOf({ taken }))).toMatchObject({ faults: [], delivered: 70, repeated: 2 })
})

test("a delivery to a trigger that does not match is found", () => {
  const taken = takenOf()
  taken.get("half-orders")!.set("e6", 1)
  expect(judge(accountOf({ taken })).faults).toEqual([
    "1 deliveries came to triggers that do not match (half-orders e6)",
  ])
})

test("a delivery of an event that is not in the log is found, though nobody was told that it is", () => {
  const { log, acknowledged } = accountOf()
  const { faults } = judge(
    accountOf({
      log: log.filter(({ id }) => id !== "e2"),
      acknowledged: new Map([...acknowledged].filter(([id]) => id !== "e2")),
    }),
  )
  expect(faults).toContain("1 deliveries came of events that are not in the log (all-clicks e2)")
  expect(faults).toContain("1 events were never acknowledged, though sent again and again (e2)")
})

test("an acknowledgement in an outage is false when its request began and ended there, and stored something", () => {
  const refused = { what: 503, sentAt: 105, endedAt: 110 } as const
  const outage = { from: 100, until: 124 }
  const { faults } = judge(accountOf({ outages: [outage], failures: [refused] }))
  // e12 was answered at 125: whoever stored it may have been there again.
  expect(faults).toEqual(["2 events were acknowledged while nothing could be stored (e10, e11)"])
  const { acknowledged } = accountOf()
  const again = new Map([...acknowledged].map(([id, one]) => [id, { ...one, duplicate: true }]))
  expect(judge(accountOf({ outages: [outage], failures: [refused], acknowledged: again })).faults).toEqual([])
})

test("an outage in which nothing was refused is found", () => {
  const outages = [{ from: 10_000, until: 12_000 }]
  expect(judge(accountOf({ outages })).faults).toEqual(["publishing was not refused (503) in an outage of 2.0 s"])
  const late = [{ what: 503, sentAt: 11_000, endedAt: 12_001 }] as const
  expect(judge(accountOf({ outages, failures: late })).faults).toHaveLength(1)
  const timely = [{ what: 503, sentAt: 11_000, endedAt: 11_500 }] as const
  expect(judge(accountOf({ outages, failures: timely })).faults).toEqual([])
})

test("answers that are neither 202 nor 503 are faults, and so is none, unless hubs are killed", () => {
  const failures = ([500, "timeout", "connection", "connection"] as const).map((what) => ({
    what,
    sentAt: 0,
    endedAt: 1,
  }))
  expect(judge(accountOf({ failures })).faults).toEqual([
    "publishing failed with 500 1 times",
    "publishing failed with no answer (timeout) 1 times",
    "publishing failed with no answer (connection) 2 times",
  ])
  expect(judge(accountOf({ failures, killsHubs: true })).faults).toHaveLength(2)
})

test("a hub that ended by itself is a fault", () => {
  expect(judge(accountOf({ hubFaults: ["all-1 ended by itself (1)"] })).faults).toEqual(["all-1 ended by itself (1)"])
})

test("of many only the first few are named", () => {
  const [fault = ""] = judge(accountOf({ log: [] })).faults
  expect(fault).toBe("60 acknowledged events are not in the log (e0, e1, e2, …)")
})
