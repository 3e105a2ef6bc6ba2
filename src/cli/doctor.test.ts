import { once } from "node:events"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { afterEach, expect, test } from "vitest"
import { runCli } from "./terminal.fixture.ts"

let server: Server | undefined
afterEach(() => server?.close())

/** A hub as the doctor sees it, without a key: which checks it makes of `readiness`. */
async function checksOf(readiness: object) {
  server = createServer((request, response) => {
    const isOpen = request.url === "/healthz" || request.url === "/readyz"
    response.writeHead(isOpen ? 200 : 401, { "content-type": "application/json" })
    response.end(JSON.stringify(request.url === "/readyz" ? readiness : { status: "ok" }))
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { out } = await runCli(["doctor", "--url", url, "--key", "rck_x", "--json"])
  return (JSON.parse(out) as { checks: readonly { name: string; result: string; detail: string }[] }).checks
}

test("a hub that works, but is degraded, is said to be", async () => {
  const line = "the NATS server n3 is away or behind, since 2026-01-01T00:00:00.000Z: REDCAR_LOG_0"
  const checks = await checksOf({ ready: true, reasons: [], degraded: [line], warnings: [] })
  expect(checks.find(({ name }) => name === "ready")).toMatchObject({
    result: "warning",
    detail: `it takes events, but is degraded: ${line}`,
  })
})

test("one that is well takes events", async () => {
  const checks = await checksOf({ ready: true, reasons: [], degraded: [], warnings: [] })
  expect(checks.find(({ name }) => name === "ready")).toMatchObject({ result: "good", detail: "it takes events" })
})
