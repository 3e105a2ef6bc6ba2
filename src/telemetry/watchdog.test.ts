import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import { afterAll, test } from "vitest"

const children: ChildProcess[] = []
afterAll(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL")
})

function start(blocked: string) {
  const script = new URL("./watchdog.fixture.ts", import.meta.url).pathname
  const child = spawn(process.execPath, [script, blocked], { stdio: ["ignore", "pipe", "inherit"] })
  children.push(child)
  const lines: Record<string, unknown>[] = []
  const reader = createInterface(child.stdout!).on("line", (line) => lines.push(JSON.parse(line)))
  return { child, reader, lines }
}

test.concurrent("a loop that is blocked for a while is told of once, with its stack, and counted", async ({
  expect,
}) => {
  const { child, lines } = start("3000")
  expect(await once(child, "close")).toEqual([0, null])
  expect(lines).toHaveLength(2)
  expect(lines[0]).toMatchObject({ level: "warn", msg: expect.stringContaining("blocked") })
  expect(lines[0]!.stack).toEqual(
    expect.arrayContaining([expect.stringMatching(/^spinOnPurpose file:.*watchdog\.fixture\.ts:9:\d+$/)]),
  )
  const figures = lines[1]!.figures as Record<string, number>
  expect(figures.event_loop_blocks_total).toBe(1)
  expect(figures.event_loop_blocked_seconds_total).toBeGreaterThan(2.5)
}, 30_000)

test.concurrent("a loop without an end is told of too", async ({ expect }) => {
  const { reader, lines } = start("forever")
  await once(reader, "line")
  expect(lines[0]).toMatchObject({
    level: "warn",
    stack: expect.arrayContaining([expect.stringMatching(/^spinInMicrotasks file:/)]),
  })
}, 30_000)

test.concurrent("a loop that is not blocked is not told of", async ({ expect }) => {
  const { child, lines } = start("300")
  expect(await once(child, "close")).toEqual([0, null])
  expect(lines).toEqual([{ figures: { event_loop_blocks_total: 0, event_loop_blocked_seconds_total: 0 } }])
}, 30_000)
