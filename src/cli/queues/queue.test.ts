import { afterAll, beforeAll, expect, test } from "vitest"
import { startTestHub, type TestHub } from "../../hub.fixture.ts"
import { runCli } from "../terminal.fixture.ts"

let hub: TestHub
beforeAll(async () => {
  hub = await startTestHub()
  await hub.call("POST", "/v1/destinations", { id: "jobs", kind: "queue", config: { attemptsMax: 3 } })
  await hub.call("POST", "/v1/triggers", {
    id: "work",
    topic: "orders",
    destination: "jobs",
    retry: { delays: ["1ms"] },
  })
})
afterAll(() => hub.stop())

const cli = (...words: readonly string[]) =>
  runCli([...words, "--url", hub.url, "--key", hub.key], { env: { PATH: process.env.PATH ?? "" } })

async function publish(id: string): Promise<void> {
  const event = { specversion: "1.0", id, source: "/shop", type: "order.paid", data: { id } }
  await hub.call("POST", "/v1/topics/orders/events", event, { "content-type": "application/cloudevents+json" })
}

test("a worker settles by its command's exit code, and stops after so many", async () => {
  for (const id of ["ok", "later", "bad"]) await publish(id)
  const exec = `read -r event; case "$event" in *'"id":"ok"'*) echo "$REDCAR_TOPIC $REDCAR_ATTEMPT";; *later*) exit 75;; *) exit 3;; esac`
  const worked = await cli("queue", "work", "jobs", "--exec", exec, "--limit", "3", "--retry-after", "5m")
  expect([worked.code, worked.out]).toEqual([0, "orders 1\n"])
  expect(worked.err.split("\n").filter(Boolean).sort()).toEqual([
    "order.paid bad, attempt 1: exit 3",
    "order.paid later, attempt 1: exit 75",
    "order.paid ok, attempt 1: done",
  ])
  const leased = await cli("queue", "lease", "jobs", "--wait-for", "20s", "--json")
  const [item] = JSON.parse(leased.out)
  expect([item.event.id, item.attempt]).toEqual(["bad", 2])
  expect((await cli("queue", "extend", "jobs", item.lease, "--by", "10m")).out).toMatch(/^STATE.*\nextended +2/)
  const rejected = await cli("queue", "settle", "jobs", item.lease, "--result", "reject", "--reason", "no")
  expect([rejected.code, rejected.out]).toEqual([0, expect.stringMatching(/\nsettled /)])
  const again = await cli("queue", "settle", "jobs", item.lease)
  expect([again.code, again.out]).toEqual([1, expect.stringMatching(/\nlost /)])
  expect(JSON.parse((await cli("queue", "status", "jobs", "--json")).out)).toMatchObject({
    open: 1,
    parked: 1,
    dead: 1,
  })
})

test("a worker that does not wait ends when nothing is due, and one that is stopped lets its command end", async () => {
  const idle = await cli("queue", "work", "jobs", "--exec", "true", "--no-wait")
  expect([idle.code, idle.out, idle.err]).toEqual([0, "", ""])
  await publish("slow")
  const stop = new AbortController()
  const worked = await runCli(
    ["queue", "work", "jobs", "--exec", "echo begun; cat >/dev/null; echo over", "--url", hub.url, "--key", hub.key],
    { env: { PATH: process.env.PATH ?? "" }, interrupt: stop.signal, onOut: () => stop.abort() },
  )
  expect([worked.code, worked.out, worked.err]).toEqual([0, "begun\nover\n", "order.paid slow, attempt 1: done\n"])
})

test("what is unlocked is leased again; to unlock nothing in particular is refused", async () => {
  await publish("held")
  const [item] = JSON.parse((await cli("queue", "lease", "jobs", "--wait-for", "20s", "--json")).out)
  const unclear = await cli("queue", "unlock", "jobs")
  expect([unclear.code, unclear.err]).toEqual([2, expect.stringContaining("which deliveries?")])
  const both = await cli("queue", "unlock", "jobs", item.delivery, "--all")
  expect([both.code, both.err]).toEqual([2, expect.stringContaining("--all means all that are leased")])
  const unlocked = await cli("queue", "unlock", "jobs", item.delivery)
  expect([unlocked.code, unlocked.out]).toEqual([0, expect.stringMatching(/\nunlocked +/)])
  const [again] = JSON.parse((await cli("queue", "lease", "jobs", "--json")).out)
  expect([again.delivery, again.attempt]).toEqual([item.delivery, 2])
  expect((await cli("queue", "settle", "jobs", again.lease)).code).toBe(0)
})

test("what is no queue is worked on by nobody", async () => {
  expect((await cli("queue", "work", "nothing", "--exec", "true")).code).toBe(5)
  expect((await cli("queue", "status", "nothing")).code).toBe(5)
})
