import { compareNumeric, exactNumber, isNumeric, isSame, type Numeric } from "../formats/decimal.ts"
import { compileCidr } from "./cidr.ts"
import { compileGlob } from "./glob.ts"
import { parseInstant } from "./instant.ts"
import { compilePathPattern } from "./path/pattern.ts"
import { compileSearch } from "./search.ts"
import { toBoolean, toNumber, toText } from "./sql/values.ts"
import type { Comparison, InstantTest, RangeTest, Test } from "./tree.ts"
import type { Json } from "./view.ts"
import { longMin, type Work } from "./work.ts"

/** `work` is the event's, for tests of long texts. */
type ValueTest = (value: Json, work: Work) => boolean
type TextTest = (text: string, work: Work) => boolean

/** A test of an attribute's canonical text. */
export function compileTextTest(test: Test): TextTest {
  switch (test.is) {
    case "constant": {
      const text = String(test.value)
      return test.value === null ? never : (value) => value === text
    }
    case "range": {
      const within = compileRange(test)
      return (text) => {
        const number = attributeNumber(text)
        return number !== undefined && within(number)
      }
    }
    case "contains": {
      const search = compileSearch(String(test.value))
      return onLong((text) => search(text, 0) >= 0)
    }
    case "except": {
      const tests = test.tests.map(compileTextTest)
      return (text, work) => !tests.some((passes) => passes(text, work))
    }
    default:
      return compileValueTest(test)
  }
}

const canonicalNumber = /^(0|-?[1-9][0-9]{0,63})$/

/** The number that an attribute's canonical text is. */
export function attributeNumber(text: string): Numeric | undefined {
  return canonicalNumber.test(text) ? exactNumber(text) : undefined
}

/** A test of a value that is there. */
export function compileValueTest(test: Test): ValueTest {
  switch (test.is) {
    case "constant": {
      const wanted = test.value
      return (value) => value === wanted
    }
    case "range": {
      const within = compileRange(test)
      return (value) => isNumeric(value) && within(value)
    }
    case "contains":
      return compileContains(test.value)
    case "except": {
      const tests = test.tests.map(compileValueTest)
      return (value, work) => !tests.some((passes) => passes(value, work))
    }
    case "present":
      return () => true
    case "absent":
      return never
    case "cast":
      return compileCast(test.to, compileValueTest(test.test))
    case "text": {
      const wanted = test.text
      return (value) => value === wanted
    }
    default: {
      const passes = compileText(test)
      return (value, work) => typeof value === "string" && passes(value, work)
    }
  }
}

function never(): boolean {
  return false
}

/** A test that reads all of a text, as one that can be made in turns where the text is long. */
export function onLong(passes: (text: string) => boolean): TextTest {
  return (text, work) => (text.length < longMin ? passes(text) : work.once(passes, text, text.length, passes))
}

type TextOnly = Extract<Test, { is: "prefix" | "suffix" | "fold" | "glob" | "path" | "order" | "instant" | "cidr" }>

function compileText(test: TextOnly): TextTest {
  switch (test.is) {
    case "prefix": {
      const text = test.fold ? test.text.toLowerCase() : test.text
      return test.fold ? onLong((value) => value.toLowerCase().startsWith(text)) : (value) => value.startsWith(text)
    }
    case "suffix": {
      const text = test.fold ? test.text.toLowerCase() : test.text
      return test.fold ? onLong((value) => value.toLowerCase().endsWith(text)) : (value) => value.endsWith(text)
    }
    case "fold": {
      const text = test.text.toLowerCase()
      return onLong((value) => value.toLowerCase() === text)
    }
    case "glob":
      return onLong(compileGlob(test.glob))
    case "path":
      return onLong(compilePathPattern(test.pattern))
    case "order": {
      const { operator, text } = test
      return (value) => compare(operator, value, text)
    }
    case "instant":
      return compileInstant(test)
    case "cidr":
      return compileCidr(test.text) ?? never
  }
}

function compileInstant({ operator, ms }: InstantTest): TextTest {
  return (value) => {
    const instant = parseInstant(value)
    if (instant === undefined) return false
    if (operator === "=" || operator === "!=") return (instant === ms) === (operator === "=")
    return compare(operator, instant, ms)
  }
}

function compare<T extends string | number>(operator: Comparison, a: T, b: T): boolean {
  switch (operator) {
    case "<":
      return a < b
    case "<=":
      return a <= b
    case ">":
      return a > b
    case ">=":
      return a >= b
  }
}

function compileRange(test: RangeTest): (value: Numeric) => boolean {
  const { low, high } = test
  if (typeof low === "object" || typeof high === "object") return (value) => isWithin(test, value)
  const within = compileDoubles(test, low, high)
  return (value) => (typeof value === "number" ? within(value) : isWithin(test, value))
}

/** The same of numbers that no double stands for. */
function isWithin({ low, lowOpen, high, highOpen }: RangeTest, value: Numeric): boolean {
  const above = low === undefined ? 1 : compareNumeric(value, low)
  const below = high === undefined ? -1 : compareNumeric(value, high)
  return (above > 0 || (above === 0 && !lowOpen)) && (below < 0 || (below === 0 && !highOpen))
}

function compileDoubles({ lowOpen, highOpen }: RangeTest, low?: number, high?: number): (value: number) => boolean {
  if (low !== undefined && low === high) return (value) => value === low
  const least = low ?? Number.NEGATIVE_INFINITY
  const most = high ?? Number.POSITIVE_INFINITY
  if (lowOpen && highOpen) return (value) => value > least && value < most
  if (lowOpen) return (value) => value > least && value <= most
  if (highOpen) return (value) => value >= least && value < most
  return (value) => value >= least && value <= most
}

/** A text contains a part, an array an element. */
function compileContains(wanted: string | Numeric | boolean | null): ValueTest {
  const search = compileSearch(typeof wanted === "string" ? wanted : "")
  const contains = onLong((text) => search(text, 0) >= 0)
  return (value, work) => {
    if (typeof value === "string") return typeof wanted === "string" && contains(value, work)
    return Array.isArray(value) && work.some(contains, value, (element: Json) => isSame(element, wanted)) === true
  }
}

function compileCast(to: "number" | "text" | "boolean", passes: ValueTest): ValueTest {
  const cast = to === "number" ? toNumber : to === "text" ? toText : toBoolean
  return (value, work) => {
    const form = cast(value)
    return form !== undefined && passes(form, work)
  }
}
