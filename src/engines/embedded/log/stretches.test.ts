import { expect, test } from "vitest"
import { parseCursor } from "./cursor.ts"
import { event, machine, orders, throughFiles } from "./machine.fixture.ts"

const events = 500

/** How many bytes of its disk a log asks for that opens and is read, with so many damaged stretches. */
async function bytesRead(stretches: number, { commit, isLost }: { commit: number; isLost: boolean }) {
  let bytes = 0
  const throughDisk = throughFiles((file) => ({
    ...file,
    read(into, at) {
      bytes += into.length
      return file.read(into, at)
    },
  }))
  const host = machine({ segmentBytes: 1 << 20, throughDisk })
  let log = await host.open()
  const positions: number[] = []
  for (let i = 0; i < events; i += commit) {
    const all = Array.from({ length: commit }, (_, j) => event(`e${i + j}`, 700))
    for (const { cursor } of await host.run(log.append(orders, all))) positions.push(parseCursor(cursor))
  }
  host.cut()
  if (isLost) host.store.lose()
  const [name] = host.segments()
  const every = Math.floor(events / stretches)
  for (let i = 0; i < stretches; i++) host.disk.flipBit(name!, positions[i * every + 1]! - 8 + 60, 1)
  bytes = 0
  log = await host.open()
  expect(await host.read(log)).toHaveLength(events - stretches)
  if (isLost) {
    // What lies in the last commit may never have been acknowledged.
    const unfinished = log.health().filter((line) => line.includes("never finished"))
    expect(unfinished).toHaveLength(commit === 1 ? 0 : stretches * (commit / events))
  }
  return bytes
}

test.each([
  ["that the state knows of", { commit: 250, isLost: false }],
  ["of commits of one event each", { commit: 1, isLost: true }],
  ["of commits of many events", { commit: 250, isLost: true }],
])("each damaged stretch costs as much to pass over, however many there are: %s", async (_, kind) => {
  const few = await bytesRead(20, kind)
  const many = await bytesRead(100, kind)
  expect(many).toBeLessThan(6 * few)
  expect(many).toBeLessThan(100 * (4 << 20))
})
