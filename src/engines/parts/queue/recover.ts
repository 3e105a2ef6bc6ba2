import type { Range, Store, Table } from "../store.ts"
import type { Lanes } from "./lanes.ts"
import { isRefusal } from "./refusal.ts"
import { parkedPrefix, pastParked, pastSeparator, separator, splitKey } from "./row.ts"

/** Tokens of one opening: more than it can ever need, and few enough for 2^21 openings. */
const tokensEach = 2 ** 32
const epochKey = "queue-epoch"
/** Rows that are counted in one step. */
const stepRows = 10_000

/** What the queue has to know when it opens. */
export interface Recovered {
  /** No delivery beyond this id has ever been added; the empty text where none has. */
  readonly highest: string
  /** Greater than every lease token of an earlier opening. */
  readonly firstToken: number
}

/** Counts what is open, lane by lane (0.6 us a row), and finds where ids and tokens have come to. */
export async function recover(store: Store, lanes: Lanes): Promise<Recovered> {
  let highest = ""
  await eachKey(store, "deliveries", {}, (key) => {
    const { lane: name, id } = splitKey(key)
    const lane = lanes.ensure(name)
    lane.open++
    lane.leftInStore(id)
    if (id > highest) highest = id
  })
  await eachKey(store, "parked", { start: parkedPrefix, end: pastParked }, (key) => {
    const { lane, id } = splitKey(key.slice(parkedPrefix.length))
    lanes.ensure(lane).open++
    if (id > highest) highest = id
  })
  for (const id of lastDeadIds(store)) if (id > highest) highest = id
  const saved = store.get("meta", epochKey)
  const epoch = saved === undefined ? 1 : Number(Buffer.from(saved).toString()) + 1
  // A disk that is full now is no reason not to open: leases of an earlier process are not at hand anyway.
  await store.write([{ table: "meta", key: epochKey, value: Buffer.from(String(epoch)) }]).catch((error: unknown) => {
    if (!isRefusal(error)) throw error
  })
  return { highest, firstToken: epoch * tokensEach }
}

/** In steps: what else the process does goes on meanwhile. */
async function eachKey(store: Store, table: Table, range: Range, see: (key: string) => void): Promise<void> {
  let next: Range = { ...range, limit: stepRows }
  // Ends: with the rows: each step begins behind the last one.
  for (;;) {
    let rows = 0
    let last = ""
    for (const { key } of store.range(table, next)) {
      rows++
      last = key
      see(key)
    }
    if (rows < stepRows) return
    next = { ...next, start: `${last}\0` }
    await new Promise(setImmediate)
  }
}

/** The last dead letter's id of each tenant: they are in order of id. */
function* lastDeadIds(store: Store): Iterable<string> {
  let start = ""
  // Ends: with the tenants: each look begins behind the last one.
  for (;;) {
    const [first] = store.range("dead", { start, limit: 1 })
    if (first === undefined) return
    const tenant = first.key.slice(0, first.key.indexOf(separator))
    const end = tenant + pastSeparator
    const [last] = store.range("dead", { start: first.key, end, reverse: true, limit: 1 })
    if (last !== undefined) yield last.key.slice(tenant.length + 1)
    start = end
  }
}
