import { afterAll, beforeAll, expect, test } from "vitest"
import { startTestHub, type TestHub } from "../../hub.fixture.ts"
import { type RunOptions, runCli } from "../terminal.fixture.ts"

let hub: TestHub
beforeAll(async () => {
  hub = await startTestHub()
})
afterAll(() => hub.stop())

const cli = (line: string, options: RunOptions = {}) =>
  runCli(["subscription", ...line.split(" "), "--url", hub.url, "--key", hub.key], options)

async function publish(topic: string, ...ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const event = { specversion: "1.0", id, source: "/shop", type: "order.paid" }
    await hub.call("POST", `/v1/topics/${topic}/events`, event, { "content-type": "application/cloudevents+json" })
  }
}

const idsOf = (out: string) => out.split("\n").flatMap((line) => / (\d+)$/.exec(line)?.[1] ?? [])

test("what is read says what to commit, and a commit moves it", async () => {
  await cli("create billing --topic orders --start oldest")
  await publish("orders", "1", "2", "3")
  const read = await cli("read billing --limit 2")
  expect(idsOf(read.out)).toEqual(["1", "2"])
  const cursor = /redcar subscription commit billing (\w{11})\n$/.exec(read.err)![1]!
  expect((await cli(`commit billing ${cursor}`)).out).toBe(`✓ subscription billing stands at ${cursor}\n`)
  expect(idsOf((await cli("read billing")).out)).toEqual(["3"])
  const late = await cli(`commit billing ${cursor} --expected 00000000000 --epoch 9`)
  expect([late.code, late.err]).toEqual([6, expect.stringContaining(`stands at ${cursor} of epoch 1`)])
  expect((await cli(`commit billing ${cursor} --epoch 9`)).code).toBe(2)
  expect((await cli("read billing --from oldest")).code).toBe(2)
  expect((await cli("list")).out).toContain(cursor)
})

test("more than a page is read to its end, for programs an answer a line", async () => {
  await cli("create many --topic many --start oldest")
  const ids = Array.from({ length: 130 }, (_, i) => String(i + 1))
  await publish("many", ...ids)
  expect(idsOf((await cli("read many")).out)).toEqual(ids)
  const pages = (await cli("read many --json --commit")).out
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line))
  expect(pages.map(({ items }) => items.length)).toEqual([100, 30])
  expect((await cli("read many")).out).toBe("")
  expect(JSON.parse((await cli("reset many --to oldest --json")).out)).toMatchObject({ epoch: 2 })
  expect(idsOf((await cli("read many --limit 1")).out)).toEqual(["1"])
})

test("a consumer follows, commits what it has printed, and ends at Ctrl-C", async () => {
  await cli("create live --topic live")
  const stop = new AbortController()
  const seen: string[] = []
  const following = cli("read live --follow --commit", {
    interrupt: stop.signal,
    onOut: (text) => {
      seen.push(...idsOf(text))
      if (seen.length === 2) stop.abort()
    },
  })
  await publish("live", "7")
  await publish("live", "8")
  expect([(await following).code, seen]).toEqual([0, ["7", "8"]])
  expect((await cli("read live")).out).toBe("")
})
