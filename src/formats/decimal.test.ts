import fc from "fast-check"
import { expect, test } from "vitest"
import { calculateExactly, compareNumeric, Decimal, exactNumber, isSame, nearest, truncated } from "./decimal.ts"

/** A number's text as a fraction: what the other one is held against. */
function fractionOf(text: string): readonly [over: bigint, under: bigint] {
  const [, sign, whole, fraction = "", power = "0"] = /^([+-]?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/.exec(
    text,
  )!
  const scale = Number(power) - fraction.length
  const digits = BigInt(`${sign === "-" ? "-" : ""}${whole}${fraction}`)
  return scale >= 0 ? [digits * 10n ** BigInt(scale), 1n] : [digits, 10n ** BigInt(-scale)]
}

function compareFractions(a: string, b: string): number {
  const [[m, n], [p, q]] = [fractionOf(a), fractionOf(b)]
  const difference = m * q - p * n
  return difference < 0n ? -1 : difference > 0n ? 1 : 0
}

const digits = (maxLength: number) =>
  fc.array(fc.constantFrom(..."0123456789", "0", "9"), { minLength: 1, maxLength }).map((all) => all.join(""))
const anyText = fc
  .tuple(
    fc.constantFrom("", "-"),
    digits(25).map((text) => text.replace(/^0+(?=.)/, "")),
    fc.option(digits(25), { nil: undefined }),
    fc.option(fc.integer({ min: -420, max: 420 }), { nil: undefined }),
  )
  .map(([sign, whole, fraction, power]) => {
    return `${sign}${whole}${fraction === undefined ? "" : `.${fraction}`}${power === undefined ? "" : `e${power}`}`
  })
const nearText = fc
  .tuple(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constantFrom("", "0", "1", "00000000000000000001"))
  .map(([value, more]) => {
    const text = String(value)
    return more === "" || text.includes("e") ? text : `${text}${text.includes(".") ? "" : "."}${more}`
  })
const hostile = fc.constantFrom(
  ...["9007199254740992", "9007199254740993", "9007199254740993.0", "9007199254740994", "0.1", "0.10", "1e3", "1000"],
  ...["1.0", "1", "0", "-0", "0.0", "1e400", "10e399", "1e-400", "5e-324", "4.9e-324", "3e-324", "2e308", "1e-5"],
  ...["0.1000000000000000055511151231257827", "1.7976931348623157e308", "1.7976931348623158e308", "1e23", "1e22"],
)
const number = fc.oneof(hostile, anyText, nearText)

test("numbers are equal, less and greater as what is written is", () => {
  fc.assert(
    fc.property(number, number, (a, b) => {
      const [x, y] = [exactNumber(a), exactNumber(b)]
      expect(Math.sign(compareNumeric(x, y))).toBe(compareFractions(a, b))
      expect(isSame(x, y) || (x === 0 && y === 0)).toBe(compareFractions(a, b) === 0)
    }),
    { numRuns: 20_000 },
  )
})

test("a number's text is the same number, in JSON too", () => {
  fc.assert(
    fc.property(number, (text) => {
      const value = exactNumber(text)
      expect(compareFractions(String(value), text)).toBe(0)
      expect(compareFractions(JSON.stringify([value]).slice(1, -1), text)).toBe(0)
      expect(isSame(exactNumber(String(value)), value)).toBe(true)
      if (typeof value === "number") expect(value).toBe(Number(text))
      expect(nearest(value)).toBe(Number(text))
    }),
    { numRuns: 10_000 },
  )
})

test("what a double stands for is a number, and nothing else", () => {
  for (const text of ["0.1", "1e3", "1.0", "9007199254740992", "5e-324", "0.30000000000000004", "1e23"]) {
    expect(exactNumber(text), text).toBe(Number(text))
  }
  for (const text of ["9007199254740993", "1e400", "1e-400", "4.9e-324", "0.1000000000000000055", "1e999999999999"]) {
    expect(exactNumber(text), text).toBeInstanceOf(Decimal)
  }
})

test("sums, differences and products are exact, or there is none", () => {
  fc.assert(
    fc.property(number, number, fc.constantFrom("+", "-", "*"), (a, b, operator) => {
      const [[m, n], [p, q]] = [fractionOf(a), fractionOf(b)]
      const over = operator === "*" ? m * p : operator === "+" ? m * q + p * n : m * q - p * n
      const result = calculateExactly(operator as "+", exactNumber(a), exactNumber(b))
      if (result === undefined) return
      const [s, t] = fractionOf(String(result))
      expect(s * n * q).toBe(over * t)
    }),
    { numRuns: 5_000 },
  )
  expect(calculateExactly("+", exactNumber("1e2000"), exactNumber("1"))).toBeUndefined()
  expect(String(calculateExactly("%", exactNumber("9007199254740993"), exactNumber("10")))).toBe("3")
})

test("without its fraction", () => {
  expect(truncated(exactNumber("2147483647.99999999999999999"))).toBe(2147483647)
  expect(truncated(exactNumber("-1.00000000000000000001"))).toBe(-1)
  expect(truncated(exactNumber("1e-400"))).toBe(0)
  expect(truncated(exactNumber("1e400"))).toBe(Number.POSITIVE_INFINITY)
})

test("long texts and large exponents take no time", () => {
  const before = performance.now()
  const zeros = "0".repeat(1_000_000)
  expect(compareNumeric(exactNumber(`1.${zeros}1`), 1)).toBeGreaterThan(0)
  expect(exactNumber(`1.${zeros}`)).toBe(1)
  expect(compareNumeric(exactNumber("1e999999999999999999999"), exactNumber("1e400"))).toBeGreaterThan(0)
  expect(compareNumeric(exactNumber(`0.${zeros}1${zeros}`), 0)).toBeGreaterThan(0)
  expect(performance.now() - before).toBeLessThan(1_000)
})
