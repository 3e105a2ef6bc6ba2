import { connect, type Socket } from "node:net"
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest"
import { openTestApi, type TestApi, testEvent } from "./api.fixture.ts"
import { answersBytesMax } from "./room.ts"

let api: TestApi
const sockets: Socket[] = []
const path = "/v1/topics/large/events?limit=10000"

beforeAll(async () => {
  api = await openTestApi()
  const data = Buffer.from(JSON.stringify("x".repeat(400_000)))
  for (let i = 0; i < 50; i++) await api.append("large", [String(i)], data)
  await api.call("POST", "/v1/topics", { id: "large" }, other)
  await api.engine.log.append({ tenant: "other", topic: "large" }, [testEvent("1", data)])
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
})
afterAll(() => api.close())

const other = { authorization: "Bearer other" }

/** Asks for more than the system takes on its own connection, and reads nothing of it. */
function ask(): void {
  const socket = connect(Number(new URL(api.url).port), "127.0.0.1").on("error", () => {})
  socket.pause()
  socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer admin\r\n\r\n`.repeat(16))
  sockets.push(socket)
}

test("large answers that nobody takes leave half of the room to other tenants, and are forgotten with their clients", async () => {
  let most = 0
  for (let i = 0; i < 30; i++) {
    ask()
    await new Promise(setImmediate)
    most = Math.max(most, api.figures().api_answer_bytes!)
  }
  await vi.waitFor(
    async () => {
      const refused = await api.call("GET", path)
      most = Math.max(most, api.figures().api_answer_bytes!)
      const detail = expect.stringContaining("too many large answers of tenant default wait")
      expect(refused).toMatchObject({ status: 503, body: { code: "overloaded", detail } })
      expect(refused.headers.get("retry-after")).toBe("1")
    },
    { interval: 5, timeout: 10_000 },
  )
  expect(most).toBeLessThanOrEqual(answersBytesMax / 2)
  expect(most).toBeGreaterThan(answersBytesMax / 4)
  expect((await api.call("GET", path, undefined, other)).status).toBe(200)
  // What is small is answered all the same.
  expect((await api.call("GET", "/v1/topics")).status).toBe(200)
  for (const socket of sockets) socket.destroy()
  await vi.waitFor(() => expect(api.figures().api_answer_bytes).toBe(0), { interval: 5, timeout: 5_000 })
  expect((await api.call("GET", path)).status).toBe(200)
  await vi.waitFor(() => expect(api.figures().api_answer_bytes).toBe(0), { interval: 5 })
}, 30_000)

test("a page that room is short for ends early and says where it goes on", async () => {
  const all = async () => {
    let [url, events] = [`${path}&format=json`, 0]
    for (let pages = 1; ; pages++) {
      const page = await api.call("GET", url)
      events += page.body.length
      const link = page.headers.get("link")
      if (link === null) return { pages, events }
      url = /<(.*)>/.exec(link)![1]!
    }
  }
  expect(await all()).toEqual({ pages: 5, events: 50 })
})
