import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, describe, expect, test } from "vitest"
import { exitCodes } from "../failures.ts"
import { runCli } from "../terminal.fixture.ts"

interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body: unknown
}

let server: Server | undefined
afterEach(() => void server?.close())

/** A peer that answers NDJSON as the hub's API says, after what `first` has to say to it. */
async function peer(first: (ids: readonly string[], call: number) => Answer | undefined) {
  const calls: (readonly string[])[] = []
  server = createServer(async (request, response) => {
    // The topic, which is looked for first.
    if (request.method === "GET") return void response.end('{"id":"orders"}')
    let text = ""
    for await (const part of request) text += part
    const events = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { id: string })
    const ids = events.map(({ id }) => id)
    calls.push(ids)
    const stored = { accepted: ids.length, rejected: 0, results: ids.map((id) => ({ id, cursor: `c${id}` })) }
    const { status, headers, body } = first(ids, calls.length) ?? { status: 202, body: stored }
    response.writeHead(status, headers).end(JSON.stringify(body))
  })
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve))
  return { calls, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

function lines(count: number, size = 0): string {
  return Array.from({ length: count }, (_, i) =>
    JSON.stringify({ specversion: "1.0", id: String(i + 1), source: "/s", type: "t", data: "x".repeat(size) }),
  )
    .map((line) => `${line}\n`)
    .join("")
}

function publish(url: string, stdin: string, ...flags: string[]) {
  return runCli(["publish", "orders", "-", "--url", url, "--key", "k", ...flags], { stdin })
}

describe("many events", () => {
  test("go in chunks, in order, each once", async () => {
    const { calls, url } = await peer(() => undefined)
    const { code, out } = await publish(url, lines(2_500))
    expect(code).toBe(0)
    expect(out).toBe("✓ stored 2,500 events\n")
    expect(calls.map((ids) => ids.length)).toEqual([1_000, 1_000, 500])
    expect(calls.flat()).toEqual(Array.from({ length: 2_500 }, (_, i) => String(i + 1)))
  })

  test("a hub that is held is not asked again", async () => {
    const detail = "this hub was started with --hold"
    const { calls, url } = await peer(() => ({ status: 503, body: { code: "held", detail } }))
    const { code, err } = await publish(url, lines(2))
    expect([code, err, calls.length]).toEqual([exitCodes.failed, `error: ${detail}\n`, 1])
  })

  test("chunks hold at most 1 MiB", async () => {
    const { calls, url } = await peer(() => undefined)
    await publish(url, lines(5, 400_000))
    expect(calls.map((ids) => ids.length)).toEqual([2, 2, 1])
  })

  test("those refused are listed by line, the rest is stored, and the shell is told", async () => {
    const { url } = await peer((ids) => ({
      status: 207,
      body: {
        results: ids.map((id, index) =>
          id === "2"
            ? { index, id, error: { code: "invalid-argument", detail: "no type" } }
            : { id, cursor: "c", duplicate: id === "3" },
        ),
      },
    }))
    const { code, out, err } = await publish(url, lines(4))
    expect(err).toBe("line 2 (2): no type\n")
    expect(out).toBe("✓ stored 2 events, 1 there already, 1 refused\n")
    expect(code).toBe(exitCodes.failed)
  })

  test("a chunk of which nothing is valid does not end the upload", async () => {
    const { url } = await peer((ids, call) =>
      call === 1
        ? {
            status: 400,
            body: {
              code: "invalid-argument",
              detail: "none",
              results: ids.map((id, index) => ({ index, id, error: { code: "invalid-argument", detail: "bad" } })),
            },
          }
        : undefined,
    )
    const { code, out } = await publish(url, lines(1_500), "--json")
    expect(code).toBe(exitCodes.failed)
    expect(JSON.parse(out)).toMatchObject({ stored: 500, refused: 1_000 })
  })

  test("a chunk that is refused as a whole is parted until the one to blame is found", async () => {
    const { url } = await peer((ids) =>
      ids.includes("7") ? { status: 413, body: { code: "too-large", detail: "too large" } } : undefined,
    )
    const { out } = await publish(url, lines(10), "--json")
    expect(JSON.parse(out)).toEqual({
      stored: 9,
      duplicates: 0,
      refused: 1,
      refusals: [{ place: 7, code: "too-large", detail: "too large" }],
    })
  })

  test("a hub that is too busy is asked again", async () => {
    const busy = { status: 503, headers: { "retry-after": "0" }, body: { code: "overloaded", detail: "busy" } }
    const { calls, url } = await peer((_, call) => (call <= 2 ? busy : undefined))
    expect((await publish(url, lines(3))).out).toBe("✓ stored 3 events\n")
    expect(calls).toHaveLength(3)
  })

  test("a full disk stops it, and says how to go on", async () => {
    const { url } = await peer((_, call) =>
      call === 2 ? { status: 507, body: { code: "storage-full", detail: "no room" } } : undefined,
    )
    const { code, err } = await publish(url, lines(2_500))
    expect(code).toBe(exitCodes.failed)
    expect(err).toContain("error: no room\nThe first 1000 events are done. Go on with them skipped: --skip 1000\n")
    const { calls, url: again } = await peer(() => undefined)
    expect((await publish(again, lines(2_500), "--skip", "1000")).out).toBe("✓ stored 1,500 events\n")
    expect(calls[0]![0]).toBe("1001")
  })

  test("values that are no events become the data of events where a type is said", async () => {
    const { calls, url } = await peer(() => undefined)
    const { code } = await publish(url, "[1, 2,\n 3]", "--type", "reading")
    expect(code).toBe(0)
    expect(calls.flat()).toHaveLength(3)
  })
})
