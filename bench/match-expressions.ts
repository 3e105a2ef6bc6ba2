import { Environment } from "@marcbachmann/cel-js"
import { Event } from "../src/core/event.ts"
import { skim, type Wanted, wantedMember } from "../src/filters/skim.ts"
import { compileSql } from "../src/filters/sql/compile.ts"
import { parseSql } from "../src/filters/sql/parser.ts"
import { EventView } from "../src/filters/view.ts"
import { median } from "./load.ts"
import { type Measure, measure } from "./measure.ts"

const sql = "type = 'com.example.t1.created' AND source LIKE '/shop/%' AND priority > 5"
const cel = "kind == 'com.example.t1.created' && source.startsWith('/shop/') && priority > 5.0"

const sink = { count: 0 }

/** An expression of three clauses, evaluated and parsed, beside cel-js with the same one, in turn. */
export function* measureExpressions(quick: boolean): Generator<Measure> {
  const ms = quick ? 20 : 100
  const passes = compileSql(parseSql(sql).expression)
  const environment = new Environment()
    .registerVariable("kind", "string")
    .registerVariable("source", "string")
    .registerVariable("priority", "double")
  const asks = environment.parse(cel)
  const all = Array.from({ length: 64 }, (_, index) => ({
    specversion: "1.0",
    id: `${index}`,
    source: `/shop/${index}`,
    type: "com.example.t1.created",
    priority: index % 10,
  }))
  // `type` is a word of CEL's own.
  const kinds = all.map((attributes) => ({ ...attributes, kind: attributes.type }))
  const events = all.map((attributes) => Event.of(attributes))
  const [us, celUs] = inTurns(
    ms,
    (at) => {
      if (passes(new EventView(events[at & 63]!))) sink.count++
    },
    (at) => {
      if (asks(kinds[at & 63]!)) sink.count++
    },
  )
  const [parseUs, celParseUs] = inTurns(
    ms,
    () => {
      sink.count += parseSql(sql).nodes
    },
    () => {
      environment.parse(cel)
    },
  )
  yield measure("cesql three clauses against cel-js", "us", us, celUs, true)
  yield measure("cesql three clauses against its goal", "us", us, 0.5, true)
  yield measure("cesql parse against cel-js", "us", parseUs, celParseUs, true)
  yield measure("cesql parse against its goal", "us", parseUs, 30, true)
}

/** Two members of an order of some sizes, skimmed, beside decoding and JSON.parse. */
export function* measureSkimming(quick: boolean): Generator<Measure> {
  const members = ["customer", "total"].map((name) => wantedMember(name, undefined)!)
  const wanted: Wanted = { members }
  const decoder = new TextDecoder()
  for (const items of [0, 8, 256]) {
    const item = { sku: "SKU-1", name: "A thing with a longish name", n: 2, price: 9.5, tags: ["a", "b"], gift: false }
    const order = { customer: "c12345", total: 123.45, items: new Array(items).fill(item) }
    const bytes = new TextEncoder().encode(JSON.stringify(order))
    const [us, parseUs] = inTurns(
      quick ? 20 : 100,
      () => {
        if (skim(bytes, wanted) !== undefined) sink.count++
      },
      () => {
        if (JSON.parse(decoder.decode(bytes)) !== undefined) sink.count++
      },
    )
    yield measure(`match two members of ${bytes.length} B of data against parsing it`, "us", us, parseUs, true)
  }
}

/** Medians of microseconds a call. */
function inTurns(ms: number, a: (at: number) => void, b: (at: number) => void): [number, number] {
  const [as, bs]: [number[], number[]] = [[], []]
  for (let round = 0; round < 8; round++) {
    as.push(timed(a, ms))
    bs.push(timed(b, ms))
  }
  return [median(as.slice(1)), median(bs.slice(1))]
}

function timed(call: (at: number) => void, ms: number): number {
  const start = performance.now()
  let calls = 0
  let spent = 0
  do {
    for (let i = 0; i < 1000; i++) call(calls++)
    spent = performance.now() - start
  } while (spent < ms)
  return (spent * 1000) / calls
}
