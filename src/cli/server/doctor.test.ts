import { once } from "node:events"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, expect, test } from "vitest"
import { runCli } from "../terminal.fixture.ts"

let server: Server | undefined
afterEach(() => server?.close())

/** A hub as the doctor sees it, which checks it makes of `readiness`; without a key but for what `answers` has. */
async function checksOf(readiness: object, answers: Readonly<Record<string, object>> = {}) {
  server = createServer((request, response) => {
    const all: Readonly<Record<string, object>> = { "/healthz": { status: "ok" }, "/readyz": readiness, ...answers }
    const answer = all[request.url!.split("?", 1)[0]!]
    const isUnready = (answer as { ready?: boolean } | undefined)?.ready === false
    response.writeHead(answer === undefined ? 401 : isUnready ? 503 : 200, { "content-type": "application/json" })
    response.end(JSON.stringify(answer ?? { status: "ok" }))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { out } = await runCli(["doctor", "--url", url, "--key", "rck_x", "--json"])
  return (JSON.parse(out) as { checks: readonly { name: string; result: string; detail: string; next?: string }[] })
    .checks
}

test("a hub that works, but is degraded, is said to be", async () => {
  const line = "the NATS server n3 is away or behind, since 2026-01-01T00:00:00.000Z: REDCAR_LOG_0"
  const checks = await checksOf({ ready: true, reasons: [], degraded: [line], warnings: [] })
  expect(checks.find(({ name }) => name === "ready")).toMatchObject({
    result: "warning",
    detail: `it takes events, but is degraded: ${line}`,
  })
})

const full = "the disk is nearly full: publishing is refused"
const sizes: Readonly<Record<string, number>> = { a: 2 ** 20, b: 3 * 2 ** 30, c: 5 * 2 ** 20, d: 100 }
const topics = {
  "/v1/topics": { items: Object.keys(sizes).map((id) => ({ id })) },
  ...Object.fromEntries(Object.entries(sizes).map(([id, bytes]) => [`/v1/topics/${id}`, { id, stats: { bytes } }])),
}
const next =
  "Add room to its disk, or let topics keep less: redcar topic update b --retention-age 7d (largest: b 3GiB, c 5MiB, a 1MiB)"

test("one whose disk is nearly full is not ready, by the hub's own judgement, and the topics that take most are named", async () => {
  const figures = { disk_free_bytes: 2 ** 30, disk_reserve_bytes: 3 * 2 ** 30 }
  const checks = await checksOf(
    { ready: false, reasons: [full], degraded: [], warnings: [] },
    { "/v1/status": { health: [], figures }, ...topics },
  )
  const detail =
    "1GiB free on the hub's disk, less than the 3GiB that are kept free (limits.diskReserveBytes): publishing is refused"
  expect(checks.filter(({ name }) => name === "ready" || name === "disk")).toEqual([
    { name: "ready", result: "bad", detail: `it is not ready: ${full}`, next },
    { name: "disk", result: "bad", detail, next },
  ])
})

test.each([
  [2 ** 31, 2 ** 26, "good", "2GiB free on the hub's disk"],
  [2 ** 31, 1.5 * 2 ** 30, "warning", "2GiB free on the hub's disk; publishing is refused below 1.5GiB"],
  [2 ** 29, 2 ** 26, "warning", "512MiB free on the hub's disk; publishing is refused below 64MiB"],
])("%d bytes free with %d kept free are %s", async (free, reserve, result, detail) => {
  const figures = { disk_free_bytes: free, disk_reserve_bytes: reserve }
  const readiness = { ready: true, reasons: [], degraded: [], warnings: [] }
  const checks = await checksOf(readiness, { "/v1/status": { health: [], figures }, ...topics })
  expect(checks.find(({ name }) => name === "disk")).toMatchObject({ result, detail })
  expect(checks.find(({ name }) => name === "ready")).toMatchObject({ result: "good" })
})

test("one that refuses to publish for another reason is said to", async () => {
  const line = "NATS stores nothing at present, for want of a leader or a quorum: publishing is refused"
  const checks = await checksOf({ ready: true, reasons: [], degraded: [line], warnings: [] })
  expect(checks.find(({ name }) => name === "ready")).toMatchObject({
    result: "warning",
    detail: `it can be read, but is degraded: ${line}`,
  })
})

test("one that is well takes events", async () => {
  const checks = await checksOf({ ready: true, reasons: [], degraded: [], warnings: [] })
  expect(checks.find(({ name }) => name === "ready")).toMatchObject({ result: "good", detail: "it takes events" })
})
