import type { StoredEvent } from "../src/core/log.ts"
import type { Filter } from "../src/core/resources.ts"
import { compileNode, type Predicate } from "../src/filters/compile.ts"
import { readFilters } from "../src/filters/parse.ts"
import { hashText } from "../src/match/hashing.ts"
import { createMatcher } from "../src/match/matcher.ts"
import { median } from "./load.ts"
import { type Measure, measure } from "./measure.ts"
import { parsed, storedOf, triggerOf } from "./mix.ts"

/** Triggers that an index does not like, and an event that meets as much of them as one can. */
interface Adversary {
  readonly name: string
  readonly filter: (index: number) => Filter
  readonly stored: StoredEvent
}

const attributes = { specversion: "1.0", id: "1", source: "/s", type: "t" }
const long = "x".repeat(1024)

/** Texts that a hash of the matcher's tables puts at one place. */
const alike = collisions(1000)

const adversaries: readonly Adversary[] = [
  {
    name: "prefixes of 1,024 lengths",
    filter: (index) => ({ prefix: { subject: `${"x".repeat(index % 1024)}${index}` } }),
    stored: storedOf({ ...attributes, subject: long }, {}),
  },
  {
    name: "suffixes of 1,024 lengths",
    filter: (index) => ({ suffix: { subject: `${index}${"x".repeat(index % 1024)}` } }),
    stored: storedOf({ ...attributes, subject: long }, {}),
  },
  {
    name: "a field of data each",
    filter: (index) => ({ pattern: { data: { [`f${index}`]: [1] } } }),
    stored: storedOf(attributes, Object.fromEntries(Array.from({ length: 100 }, (_, index) => [`f${index * 7}`, 2]))),
  },
  {
    name: "an attribute each",
    filter: (index) => ({ exact: { [`a${index}`]: "x" } }),
    stored: storedOf({ ...attributes, a7: "y" }, {}),
  },
  {
    name: "nested ranges",
    filter: (index) => ({ pattern: { data: { n: [{ numeric: [">=", index, "<", 200_000 - index] }] } } }),
    stored: storedOf(attributes, { n: 10.5 }),
  },
  {
    name: "wildcards that begin and end alike",
    filter: (index) => ({ pattern: { subject: [{ wildcard: `x*y${index}*x` }] } }),
    stored: storedOf({ ...attributes, subject: long }, {}),
  },
  {
    name: "prefixes of one place in the table",
    filter: (index) => ({ prefix: { subject: alike[index % alike.length]! } }),
    stored: storedOf({ ...attributes, subject: `${alike[0]}tail` }, {}),
  },
  {
    name: "nothing to look up (not)",
    filter: (index) => ({ not: { prefix: { subject: `x${index % 7 === 0 ? "" : index}` } } }),
    stored: storedOf({ ...attributes, subject: long }, {}),
  },
]

function collisions(count: number): readonly string[] {
  const found: string[] = []
  for (let index = 0; found.length < count; index++) {
    const text = index.toString(36)
    if ((hashText(text) & 1023) === 7) found.push(text)
  }
  return found
}

/** 100,000 hostile triggers of a kind, beside the loop that asks every one. */
export function* measureAdversaries(quick: boolean): Generator<Measure> {
  for (const { name, filter, stored } of adversaries) {
    const matcher = createMatcher()
    const asks: Predicate[] = []
    for (let index = 0; index < 100_000; index++) {
      const filters = [filter(index)]
      matcher.set(triggerOf(index, filters))
      const read = readFilters(filters)
      if (read.ok) asks.push(compileNode(read.node))
    }
    const view = parsed(stored)
    let fired = 0
    const us = timed(quick, () => {
      fired = matcher.match(stored, view).length
    })
    let passed = 0
    const naiveUs = timed(quick, () => {
      passed = 0
      for (const asked of asks) if (asked(view)) passed++
    })
    if (fired !== passed) throw new Error(`${name}: ${fired} fired, ${passed} passed`)
    yield measure(`match hostile: ${name} (${fired} fired)`, "us/event", us, naiveUs, true)
  }
}

function timed(quick: boolean, call: () => void): number {
  const figures: number[] = []
  const end = performance.now() + (quick ? 50 : 300)
  do {
    const start = performance.now()
    call()
    figures.push((performance.now() - start) * 1000)
  } while (performance.now() < end)
  return median(figures)
}
