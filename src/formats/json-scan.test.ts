import fc from "fast-check"
import { describe, expect, it } from "vitest"
import { JsonScanner, jsonBits, jsonDepthMax, jsonKind, jsonMembersMax } from "./json-scan.ts"

const scanner = new JsonScanner()
const runs = { numRuns: 3000 }

function parsed(text: string): { readonly value: unknown } | undefined {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

function accepts(text: string): boolean {
  const bytes = Buffer.from(text)
  return scanner.scanText(bytes, 0, bytes.length) === trimmedEnd(text, bytes)
}

/** Where scanning a value ends: before the whitespace that may follow. */
function trimmedEnd(text: string, bytes: Buffer): number {
  return bytes.length - (text.length - text.replace(/[ \t\r\n]+$/, "").length)
}

const space = fc.stringMatching(/^[ \t\r\n]{0,2}$/)
const piece = fc.constantFrom(
  ...'{}[]:," \n\t\\/0123456789-+.eEatrufnlsx\u0001é\u007f😀',
  "true",
  "false",
  "null",
  '"a"',
  '"data":',
  "\\u00e9",
  "\\ud800",
  "1e5",
)

/** JSON texts with whitespace anywhere, escapes and numbers as people and machines write them. */
const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom("true", "false", "null", "0", "-0", "1.5", "-12e+3", "1E-2", '""', '"\\u00E9\\n"', '"\\/"'),
    fc.json(),
    fc.string({ unit: "binary" }).map((text) => JSON.stringify(text)),
    fc
      .array(fc.tuple(space, tie("value"), space), { maxLength: 4 })
      .map((items) => `[${items.map((i) => i.join("")).join()}]`),
    fc
      .array(fc.tuple(space, fc.string(), space, tie("value"), space), { maxLength: 4 })
      .map((members) => `{${members.map(([a, k, b, v, c]) => `${a}${JSON.stringify(k)}${b}:${a}${v}${c}`).join()}}`),
  ),
})).value

/** A text with one place changed. */
const broken = fc.tuple(jsonText, fc.nat(), fc.nat(2), piece).map(([text, at, removed, added]) => {
  const place = at % (text.length + 1)
  return (text.slice(0, place) + added + text.slice(place + removed)).toWellFormed()
})

describe("the scanner takes exactly what JSON.parse takes", () => {
  it("in valid texts", () => {
    fc.assert(
      fc.property(space, jsonText, space, (before, text, after) => {
        expect(accepts(before + text + after)).toBe(true)
      }),
      runs,
    )
  })

  it("in texts with one place changed", () => {
    fc.assert(
      fc.property(broken, (text) => {
        expect(accepts(text)).toBe(parsed(text) !== undefined)
      }),
      { numRuns: 20_000 },
    )
  })

  it("in random tokens", () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), (pieces) => {
        const text = pieces.join("")
        expect(accepts(text)).toBe(parsed(text) !== undefined)
      }),
      { numRuns: 20_000 },
    )
  })

  it("in every text of up to three bytes of the alphabet", () => {
    const alphabet = ["", ...'{}[]:,"\\0123456789-+.eE \n\ttrufalsn\u0001\u00ff']
    for (const a of alphabet) {
      for (const b of alphabet) {
        for (const c of alphabet) {
          const text = a + b + c
          if (accepts(text) !== (parsed(text) !== undefined)) expect(text).toBe("judged as JSON.parse does")
        }
      }
    }
  })
})

describe("members", () => {
  it("are found where they stand", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(space, fc.string(), jsonText), { maxLength: 12 }), (members) => {
        const text = `{${members.map(([gap, key, value]) => `${gap}${JSON.stringify(key)}${gap}:${value}${gap}`).join()}}`
        const bytes = Buffer.from(text)
        expect(scanner.scanWhole(bytes, 0, bytes.length)).toBe(bytes.length)
        expect(scanner.count).toBe(members.length)
        expect(scanner.compact).toBe(members.every(([gap]) => gap === ""))
        members.forEach(([, key, value], i) => {
          const [keyStart, keyEnd, start, end, bits] = scanner.members.subarray(i * 5, i * 5 + 5) as unknown as number[]
          const rawKey = bytes.toString("utf8", keyStart! - 1, keyEnd! + 1)
          expect(JSON.parse(rawKey)).toBe(key)
          expect(bytes.toString("utf8", start, end)).toBe(value)
          expect(bits! & jsonBits.kind).toBe(kindOf(JSON.parse(value)))
          const isString = value.startsWith('"')
          if (isString) expect((bits! & jsonBits.valueEscaped) !== 0).toBe(value.includes("\\"))
          if (isString) expect((bits! & jsonBits.valueOdd) !== 0).toBe(/[^ -~]/.test(value))
          expect((bits! & jsonBits.keyEscaped) !== 0).toBe(rawKey.includes("\\"))
          expect((bits! & jsonBits.keyOdd) !== 0).toBe(/[^ -~]/.test(rawKey))
        })
      }),
      { numRuns: 1000 },
    )
  })

  it("may be more than are kept", () => {
    const text = `{${Array.from({ length: 1000 }, (_, i) => `"a${i}":${i}`).join()}}`
    const bytes = Buffer.from(text)
    expect(scanner.scanWhole(bytes, 0, bytes.length)).toBe(bytes.length)
    expect(scanner.count).toBe(1000)
    const last = 5 * (jsonMembersMax - 1)
    expect(bytes.toString("utf8", scanner.members[last]!, scanner.members[last + 3]!)).toBe('a511":511')
    expect(scanner.scanWhole(bytes.fill("x", bytes.length - 3, bytes.length - 1), 0, bytes.length)).toBe(-1)
  })

  it("are read within the given bounds only", () => {
    const bytes = Buffer.from('xx{"a":1}{"b":2}')
    expect(scanner.scanWhole(bytes, 2, 9)).toBe(9)
    expect(scanner.scanWhole(bytes, 2, 8)).toBe(-1)
    expect(scanner.scanWhole(bytes, 2, 10)).toBe(-1)
    expect(scanner.fault).toEqual({ message: "unexpected text after the JSON object", at: 9 })
  })
})

describe("limits", () => {
  const nested = (levels: number) => Buffer.from(`${'{"a":'.repeat(levels)}1${"}".repeat(levels)}`)
  const lists = (levels: number) => Buffer.from(`${"[".repeat(levels)}${"]".repeat(levels)}`)

  it("takes 128 levels and no more", () => {
    const whole = (bytes: Buffer) => scanner.scanWhole(bytes, 0, bytes.length)
    const text = (bytes: Buffer) => scanner.scanText(bytes, 0, bytes.length)
    // The object itself is the envelope, which does not count.
    expect(whole(nested(jsonDepthMax + 1))).toBeGreaterThan(0)
    expect(whole(nested(jsonDepthMax + 2))).toBe(-1)
    expect(scanner.tooDeep).toBe(true)
    expect(text(lists(jsonDepthMax))).toBe(2 * jsonDepthMax)
    expect(text(lists(jsonDepthMax + 1))).toBe(-1)
    expect(scanner.fault.message).toBe("nested deeper than 128 levels")
    expect(text(lists(100_000))).toBe(-1)
    // The levels of siblings do not add up.
    expect(text(Buffer.from(`[${"[[]],".repeat(500)}1]`))).toBeGreaterThan(0)
  })

  it("refuses what is not UTF-8, in keys and values", () => {
    const cases = [
      '{"a":"\xc0\xa0"}',
      '{"\xff":1}',
      '{"a":{"b":["\xed\xa0\x80"]}}',
      '"\xf5\x80\x80\x80"',
      '["\xe2\x82"]',
    ]
    for (const text of cases) {
      const bytes = Buffer.from(text, "latin1")
      expect(scanner.scanText(bytes, 0, bytes.length), text).toBe(-1)
      expect(scanner.fault.message).toBe("not UTF-8")
      if (text.startsWith("{")) expect(scanner.scanWhole(bytes, 0, bytes.length)).toBe(-1)
    }
  })

  it("refuses a byte order mark, as JSON.parse does", () => {
    expect(accepts('\ufeff{"a":1}')).toBe(false)
  })
})

function kindOf(value: unknown): number {
  if (value === null) return jsonKind.null
  if (Array.isArray(value)) return jsonKind.array
  if (value === true) return jsonKind.true
  if (value === false) return jsonKind.false
  return jsonKind[typeof value as "string" | "number" | "object"]
}
