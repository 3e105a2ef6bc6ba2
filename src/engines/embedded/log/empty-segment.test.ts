import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, expect, it } from "vitest"
import { systemClock } from "../../../telemetry/clock.ts"
import { createEvent, ordersAddress } from "../../../testing/samples.ts"
import { openEmbeddedDirectory } from "../engine.ts"

const data = mkdtempSync(join(tmpdir(), "redcar-empty-segment-"))
afterEach(() => rmSync(data, { recursive: true }))

const segmentBytes = 1 << 16
const open = () => openEmbeddedDirectory(data, { clock: systemClock, segmentBytes })
const segments = () => readdirSync(join(data, "log")).filter((file) => file.endsWith(".segment"))

it("a segment that was made and never written is no damage, also where the state is lost", async () => {
  const first = await open()
  for (let i = 0; segments().length < 2; i++) await first.log.append(ordersAddress, [createEvent(`a${i}`)])
  await first.close()
  const newest = segments().sort().at(-1)!
  // As it is between its being made and its first write.
  writeFileSync(join(data, "log", newest), Buffer.alloc(segmentBytes))
  rmSync(join(data, "state"), { recursive: true })
  const again = await open()
  const [one] = await again.log.append(ordersAddress, [createEvent("b")])
  const options = { progress: () => undefined, stop: new AbortController().signal }
  const { findings } = await again.audit(0, options)
  expect(findings.filter(({ detail }) => detail.includes(newest))).toEqual([])
  await again.close()
  const last = await open()
  expect((await last.log.get(one!.cursor))?.event.id).toBe("b")
  expect((await last.audit(0, options)).findings.filter(({ detail }) => detail.includes(newest))).toEqual([])
  await last.close()
})
