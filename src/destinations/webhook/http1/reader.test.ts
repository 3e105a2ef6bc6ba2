import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { growthOf } from "../../../testing/growth.ts"
import type { AnswerHead } from "./head.ts"
import { AnswerReader, answerBytesMax, headBytesMax, interimMax } from "./reader.ts"

interface Read {
  head?: AnswerHead
  body: string
  end?: boolean
  fault?: string
}

/** Reads pieces, and then the end of the connection. */
function read(...pieces: readonly (string | Buffer)[]): Read {
  const got: Read = { body: "" }
  const reader = new AnswerReader({
    keptBytesMax: 4_096,
    head: (head) => {
      got.head = head
    },
    data: (bytes) => {
      got.body += bytes.toString("latin1")
    },
    end: (reusable) => {
      got.end = reusable
    },
    fault: (detail) => {
      got.fault = detail
    },
  })
  for (const piece of pieces) reader.read(typeof piece === "string" ? Buffer.from(piece, "latin1") : piece)
  reader.close()
  return got
}

/** Cuts bytes into pieces. */
const cutAnywhere = fc.array(fc.nat(1_000), { maxLength: 12 }).map((at) => (bytes: Buffer): readonly Buffer[] => {
  const places = [0, ...at.map((place) => place % (bytes.length + 1)), bytes.length].toSorted((a, b) => a - b)
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end))
})

const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/)
const text = fc.stringMatching(/^[!-~](?:[ -~]{0,30}[!-~])?$/)
const body = fc.string({ unit: fc.constantFrom("a", "0", "\r", "\n", ";", "é"), maxLength: 60 })
const framings = ["content-length", "transfer-encoding", "connection", "keep-alive"]
const headers = fc
  .uniqueArray(fc.tuple(token, text), { selector: ([name]) => name, maxLength: 5 })
  .map((all) => all.filter(([name]) => !framings.includes(name)))

/** An answer as text, and what it says. */
const answers = fc
  .record({
    interim: fc.array(fc.constantFrom(100, 102, 103), { maxLength: 4 }),
    status: fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304),
    reason: text,
    headers,
    framing: fc.constantFrom("length", "chunked", "close"),
    parts: fc.array(body, { maxLength: 4 }),
    extension: fc.constantFrom("", ";a=b", " ; a"),
    trailer: fc.constantFrom("", "x-sum: 1\r\n"),
    close: fc.boolean(),
  })
  .map((made) => {
    const { interim, status, reason, framing, parts, close } = made
    const whole = parts.join("")
    const lines = made.headers.map(([name, value]) => `${name}: ${value}\r\n`).join("")
    const framed = {
      length: () => `content-length: ${whole.length}\r\n\r\n${whole}`,
      chunked: () => {
        const chunks = parts.filter((part) => part !== "")
        const sized = chunks.map((part) => `${part.length.toString(16)}${made.extension}\r\n${part}\r\n`)
        return `transfer-encoding: chunked\r\n\r\n${sized.join("")}0\r\n${made.trailer}\r\n`
      },
      close: () => `\r\n${whole}`,
    }[framing as "length" | "chunked" | "close"]()
    const before = interim.map((code) => `HTTP/1.1 ${code} Wait\r\nx-wait: 1\r\n\r\n`).join("")
    const answer = `${before}HTTP/1.1 ${status} ${reason}\r\n${close ? "Connection: close\r\n" : ""}${lines}${framed}`
    return { answer, status, reason, headers: made.headers, body: whole, reusable: framing !== "close" && !close }
  })

test("however an answer is cut into pieces, it is read as what it says", () => {
  fc.assert(
    fc.property(answers, cutAnywhere, (made, cut) => {
      const got = read(...cut(Buffer.from(made.answer, "latin1")))
      expect(got).toMatchObject({ body: made.body, end: made.reusable })
      expect(got.head).toMatchObject({ status: made.status, reason: made.reason })
      for (const [name, value] of made.headers) expect(got.head!.headers[name]).toBe(value)
      expect(got).not.toHaveProperty("fault")
    }),
  )
})

test("whatever bytes come, in whatever pieces, come to the same end, and to one end only", () => {
  const anything = fc.oneof(
    answers.chain(({ answer }) =>
      fc
        .tuple(fc.nat(answer.length), fc.string({ maxLength: 4 }))
        .map(([at, more]) => answer.slice(0, at) + more + answer.slice(at)),
    ),
    fc.string({
      unit: fc.constantFrom("H", "T", "P", "/", "1", ".", " ", "2", "0", "\r", "\n", ":", "a"),
      maxLength: 60,
    }),
  )
  fc.assert(
    fc.property(anything, cutAnywhere, (answer, cut) => {
      const bytes = Buffer.from(answer, "latin1")
      const { head, body, end, fault } = read(bytes)
      expect(end !== undefined && fault !== undefined).toBe(false)
      const again = read(...cut(bytes))
      expect(again).toMatchObject({ ...(head && { head }), ...(fault !== undefined && { fault }) })
      // What comes behind an answer in the same piece is seen, in a later one it is nobody's.
      expect(again.end === undefined).toBe(end === undefined)
      expect(again.body).toBe(body)
    }),
  )
})

describe("an answer", () => {
  test.each([100, 102, 103])("is preceded by %d as often as is bearable, and no more often", (status) => {
    const interim = `HTTP/1.1 ${status} Go on\r\n\r\n`
    const last = "HTTP/1.1 204 No Content\r\n\r\n"
    expect(read(interim.repeat(interimMax) + last)).toMatchObject({ head: { status: 204 }, end: true })
    expect(read(interim.repeat(interimMax + 1) + last).fault).toMatch(/interim answers came/)
  })

  test.each([204, 304])("%d has no body, whatever it says of its length", (status) => {
    expect(read(`HTTP/1.1 ${status} X\r\ncontent-length: 5\r\n\r\n`)).toMatchObject({ body: "", end: true })
  })

  test.each([
    ["more than the answer", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab", false],
    ["more than the last chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1", false],
    [
      "a length beside chunks",
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n",
      false,
    ],
    ["HTTP/1.0", "HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", false],
    ["close among other words", "HTTP/1.1 200 OK\r\nconnection: x, Close\r\ncontent-length: 0\r\n\r\n", false],
    ["a length said twice", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na", true],
    ["nothing special", "HTTP/1.1 200 \r\ncontent-length: 1\r\n\r\na", true],
    ["no reason", "HTTP/1.1 200\r\ncontent-length: 1\r\n\r\na", true],
  ])("with %s leaves a connection that is %s", (_, answer, reusable) => {
    expect(read(answer)).toMatchObject({ head: { status: 200 }, end: reusable })
  })

  test("of HTTP/1.0 in chunks, or in a coding that does not end by itself, ends with the connection", () => {
    expect(read("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")).toMatchObject({
      body: "0\r\n\r\n",
      end: false,
    })
    expect(read("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\nab")).toMatchObject({
      body: "ab",
      end: false,
    })
    expect(read("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, Chunked\r\n\r\n1\r\na\r\n0\r\n\r\n")).toMatchObject({
      body: "a",
      end: true,
    })
  })

  test("keeps folded lines, repeated headers, and names that every object has", () => {
    const answer =
      "HTTP/1.1 200 OK\r\nA: 1\r\n  2\r\na: 3\r\nconstructor: x\r\n__proto__: y\r\ncontent-length: 0\r\n\r\n"
    expect({ ...read(answer).head!.headers }).toEqual({ a: "1 2, 3", constructor: "x", "content-length": "0" })
  })

  test.each([
    ["HTTP/2 200\r\n\r\n", /status line/],
    ["HTTP/1.1 99 X\r\n\r\n", /status line/],
    ["hello", /status line/],
    ["\r\n", /status line/],
    ["HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n", /switches protocols/],
    ["HTTP/1.1 200 OK\r\nno colon\r\n\r\n", /no header/],
    ["HTTP/1.1 200 OK\r\n: x\r\n\r\n", /no header/],
    ["HTTP/1.1 200 OK\r\n folded: x\r\n\r\n", /no header/],
    ["HTTP/1.1 200 OK\r\na : x\r\n\r\n", /no header/],
    ["HTTP/1.1 200 OK\r\na: x\ry\r\n\r\n", /control character/],
    ["HTTP/1.1 200 OK\r\na: x\nb: y\r\n\r\n", /control character/],
    ["HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n", /content-length/],
    ["HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n", /content-length/],
    ["HTTP/1.1 200 OK\r\ncontent-length: 1\u00a0\r\n\r\n", /content-length/],
    ["HTTP/1.1 200 OK\r\ncontent-length: 0x1\r\n\r\n", /content-length/],
    [`HTTP/1.1 200 OK\r\na: ${"x".repeat(headBytesMax)}`, /longer than 16 KiB/],
  ])("%j is none", (answer, fault) => {
    expect(read(answer)).toMatchObject({ fault: expect.stringMatching(fault) })
  })

  test.each(["g\r\n", "-1\r\n", "\r\n", "1\nx", "1\r\nab\r\n", `1;${"x".repeat(20_000)}`, "1000000000000000\r\n"])(
    "whose chunks begin %j is malformed, and its status is known",
    (chunks) => {
      const got = read(`HTTP/1.1 202 Fine\r\ntransfer-encoding: chunked\r\n\r\n${chunks}`)
      expect(got).toMatchObject({ head: { status: 202 }, fault: expect.stringMatching(/chunks/) })
    },
  )

  test("that has no end has one", () => {
    const more = "x".repeat(16_384)
    const pieces = Array.from({ length: answerBytesMax / more.length }, () => more)
    expect(read("HTTP/1.1 200 OK\r\n\r\n", ...pieces).fault).toBe("more than 256 KiB came, and no end of the answer")
  })
})

test("whatever the lines of a head hold, reading it takes time linear in it", () => {
  for (const name of ["a", "transfer-encoding", "content-length", "connection"]) {
    for (const piece of [" ", " x", ",", ", ", "1, ", "chunked, ", "a: ", "\r\na: "]) {
      const prepare = (size: number) => {
        const answer = `HTTP/1.1 200 OK\r\n${name}: x${piece.repeat(size / piece.length)}y\r\n\r\n`
        return () => read(answer)
      }
      expect(growthOf(prepare, 8_000), `${name}: ${JSON.stringify(piece)}`).toBeLessThan(3)
    }
  }
})
