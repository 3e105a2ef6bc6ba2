import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "../../api/api.fixture.ts"
import { runCli } from "../terminal.fixture.ts"

let api: TestApi
let cursors: readonly string[]

beforeAll(async () => {
  api = await openTestApi()
  cursors = [...(await api.append("orders", ["a", "b"])), ...(await api.append("users:7", ["b"]))]
})
afterAll(() => api.close())

function find(...words: readonly string[]) {
  return runCli(["event", "find", ...words, "--url", api.url, "--key", "admin"])
}

test("the newest event of an id is printed, and others of it are named beside it", async () => {
  const { code, out, err } = await find("b", "--json")
  expect([code, JSON.parse(out)]).toEqual([0, expect.objectContaining({ id: "b", redcarcursor: cursors[2] })])
  expect(err).toMatch(
    new RegExp(
      `^It is on users:7 at ${cursors[2]}.\nOlder ones have the same id:\n  ${cursors[1]} on orders of /test, \\d+s ago\n$`,
    ),
  )
  const one = await find("b", "--topic", "orders", "--source", "/test")
  expect([one.out, one.err]).toEqual([expect.stringContaining("type: test.b"), `It is on orders at ${cursors[1]}.\n`])
})

test("what is not there is said, and so is the way it was written before", async () => {
  expect(await find("z", "--topic", "orders")).toMatchObject({
    code: 5,
    err: 'error: no event on orders has the id "z", or retention has dropped it\n',
  })
  expect(await find("orders", "b")).toMatchObject({
    code: 2,
    err: "error: an event is found by its id alone\nName the topic by its flag: redcar event find b --topic orders\n",
  })
  expect((await find("b", "--topic", "order")).err).toContain("Did you mean orders?")
})
