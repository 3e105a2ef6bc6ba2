import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { text } from "node:stream/consumers"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { startTestHub, type TestHub } from "../../hub.fixture.ts"
import { runCli } from "../terminal.fixture.ts"

let hub: TestHub
const closing: (() => Promise<unknown>)[] = []
beforeAll(async () => {
  hub = await startTestHub()
})
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})
afterAll(() => hub.stop())

/** A queue that is owed an event of each id. */
async function owe(queue: string, ids: readonly string[]): Promise<void> {
  await hub.call("POST", "/v1/destinations", { id: queue, kind: "queue", config: {} })
  await hub.call("POST", "/v1/triggers", { id: queue, topic: queue, destination: queue })
  for (const id of ids) {
    const event = { specversion: "1.0", id, source: "/shop", type: "order.paid", data: { id } }
    await hub.call("POST", `/v1/topics/${queue}/events`, event, { "content-type": "application/cloudevents+json" })
  }
}

/** What stands before the hub; `settling` may answer a settlement instead of it, and says whether it has. */
async function before(settling: (response: ServerResponse, asked: number) => boolean): Promise<string> {
  let asked = 0
  const server = createServer(async (request, response) => {
    const body = await text(request)
    if (request.url!.endsWith("/settle") && settling(response, ++asked)) return
    const headers = { authorization: request.headers.authorization!, "content-type": "application/json" }
    const answer = await fetch(hub.url + request.url, { method: request.method!, headers, body })
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type")! })
    response.end(await answer.text())
  })
  await once(server.listen(0, "127.0.0.1"), "listening")
  closing.push(async () => {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

function answer(response: ServerResponse, status: number, body: object): boolean {
  response.writeHead(status, { "content-type": status === 200 ? "application/json" : "application/problem+json" })
  response.end(JSON.stringify(body))
  return true
}

const work = (url: string, queue: string, ...words: readonly string[]) =>
  runCli(["queue", "work", queue, ...words, "--url", url, "--key", hub.key], {
    env: { PATH: process.env.PATH ?? "" },
  })

test("what the hub cannot settle for a while is asked for again", async () => {
  await owe("again", ["one"])
  const url = await before((response, asked) => {
    if (asked === 1) response.destroy()
    if (asked === 2) answer(response, 503, { status: 503, code: "unavailable", detail: "no process holds it" })
    if (asked === 3) answer(response, 200, { items: [{ state: "failed" }] })
    return asked <= 3
  })
  const worked = await work(url, "again", "--exec", "true", "--limit", "1")
  expect([worked.code, worked.err.split("\n").slice(1)]).toEqual([0, ["order.paid one, attempt 1: done", ""]])
  expect(worked.err).toMatch(/^no hub answers at .*; asking again\n/)
  expect((await hub.call("GET", "/v1/queues/again")).body).toMatchObject({ open: 0, dead: 0 })
})

test("what the hub does not take is said, and the next one is worked on", async () => {
  await owe("lapsing", ["one", "two"])
  const lost = { items: [{ state: "lost" }] }
  const url = await before((response, asked) => asked === 1 && answer(response, 200, lost))
  const worked = await work(url, "lapsing", "--exec", "true", "--limit", "2")
  expect([worked.code, worked.err.split("\n")]).toEqual([
    0,
    [
      "order.paid one, attempt 1: done, which the hub did not take: its lease is lost",
      "order.paid two, attempt 1: done",
      "",
    ],
  ])
})

test("where it cannot go on, commands that run come to their end and are settled first", async () => {
  await owe("refused", ["bad", "slow"])
  const directory = await mkdtemp(join(tmpdir(), "redcar-work-"))
  closing.push(() => rm(directory, { recursive: true }))
  const url = await before((response, asked) => {
    if (asked > 1) return false
    response.on("finish", () => void writeFile(join(directory, "refused"), ""))
    return answer(response, 403, { status: 403, code: "forbidden", detail: "the key may not" })
  })
  const until = (name: string) => `until [ -e ${directory}/${name} ]; do sleep 0.02; done`
  const slow = `touch ${directory}/begun; ${until("refused")}; echo over`
  const exec = `case "$(cat)" in *bad*) ${until("begun")};; *) ${slow};; esac`
  const worked = await work(url, "refused", "--exec", exec, "--concurrency", "2")
  expect([worked.code, worked.out]).toEqual([4, "over\n"])
  expect(worked.err.split("\n").slice(0, 2)).toEqual([
    "order.paid bad, attempt 1: done, which could not be settled: the key may not",
    "order.paid slow, attempt 1: done",
  ])
})

test("a queue is made without a word of where it sends to, and a webhook is not", async () => {
  const made = await runCli(["destination", "create", "plain", "--kind", "queue", "--url", hub.url, "--key", hub.key])
  expect(made).toMatchObject({ code: 0, out: expect.stringContaining("made destination plain (queue)") })
  const refused = await runCli(["destination", "create", "--kind", "webhook", "--url", hub.url, "--key", hub.key])
  expect(refused).toMatchObject({ code: 2, err: expect.stringContaining("where does it send to?") })
})
