import { once } from "node:events"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, expect, test } from "vitest"
import { runCli } from "./terminal.fixture.ts"

let server: Server | undefined
afterEach(() => server?.close())

/** A hub as the doctor sees it, which checks it makes of `readiness`; without a key but for what `answers` has. */
async function checksOf(readiness: object, answers: Readonly<Record<string, object>> = {}) {
  server = createServer((request, response) => {
    const all: Readonly<Record<string, object>> = { "/healthz": { status: "ok" }, "/readyz": readiness, ...answers }
    const answer = all[request.url!.split("?", 1)[0]!]
    response.writeHead(answer === undefined ? 401 : 200, { "content-type": "application/json" })
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

test("one whose disk is nearly full takes no events, and the topics that take most are named", async () => {
  const line = "the disk is nearly full: publishing is refused"
  const sizes: Readonly<Record<string, number>> = { a: 2 ** 20, b: 3 * 2 ** 30, c: 5 * 2 ** 20, d: 100 }
  const checks = await checksOf(
    { ready: true, reasons: [], degraded: [line], warnings: [] },
    {
      "/v1/status": { health: [line] },
      "/v1/topics": { items: Object.keys(sizes).map((id) => ({ id })) },
      ...Object.fromEntries(Object.entries(sizes).map(([id, bytes]) => [`/v1/topics/${id}`, { id, stats: { bytes } }])),
    },
  )
  const next =
    "Add room to its disk, or let topics keep less: redcar topic update b --retention-age 7d (largest: b 3GiB, c 5MiB, a 1MiB)"
  expect(checks.find(({ name }) => name === "ready")).toMatchObject({
    result: "warning",
    detail: `it can be read, but is degraded: ${line}`,
    next,
  })
  expect(checks.find(({ name }) => name === "log")).toMatchObject({ result: "bad", detail: line, next })
})

test("one that is well takes events", async () => {
  const checks = await checksOf({ ready: true, reasons: [], degraded: [], warnings: [] })
  expect(checks.find(({ name }) => name === "ready")).toMatchObject({ result: "good", detail: "it takes events" })
})
