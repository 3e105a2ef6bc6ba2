import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { afterAll, beforeAll, expect, test } from "vitest"
import { runCli } from "./terminal.fixture.ts"

const count = 2_500
const pages: { readonly after: number; readonly size: number; readonly printed: number }[] = []
let printed = 0

/** A hub with `count` of everything. */
const server = createServer((request, response) => {
  const { searchParams } = new URL(request.url!, "http://x")
  const [after, size] = [Number(searchParams.get("pageToken") ?? 0), Number(searchParams.get("pageSize"))]
  pages.push({ after, size, printed })
  const end = Math.min(count, after + size)
  const items = Array.from({ length: end - after }, (_, i) => ({ id: `t-${after + i}`, labels: {}, retention: {} }))
  response.end(JSON.stringify({ items, ...(end < count && { nextPageToken: String(end) }) }))
})
let url: string
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => void server.close())

async function list(...flags: readonly string[]) {
  pages.length = 0
  printed = 0
  const onOut = (text: string) => {
    printed += text.split('"id"').length - 1
  }
  return runCli(["topic", "list", "--url", url, "--key", "rck_1", ...flags], { onOut })
}

test("a list for programs is printed page by page, and is one JSON array", async () => {
  const { code, out, err } = await list("--json", "--limit", "100000")
  expect([code, err]).toEqual([0, ""])
  const rows = JSON.parse(out) as { readonly id: string }[]
  expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: count }, (_, i) => `t-${i}`))
  expect(out).toBe(`${JSON.stringify(rows, null, 2)}\n`)
  // What came is printed before more is asked for.
  expect(pages).toEqual([0, 1_000, 2_000].map((after) => ({ after, size: 1_000, printed: after })))
})

test("a list that ends at its limit says that there is more", async () => {
  const { out, err } = await list("--json", "--limit", "2")
  expect(JSON.parse(out)).toHaveLength(2)
  expect(pages).toEqual([{ after: 0, size: 3, printed: 0 }])
  expect(err).toBe("There are more than 2: --limit takes a larger number.\n")
  expect((await list()).err).toBe("There are more than 1000: --limit takes a larger number.\n")
  expect((await list("--limit", String(count))).err).toBe("")
})
