import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, expect, test, vi } from "vitest"
import { runCli } from "./cli/terminal.fixture.ts"
import { startHubOn } from "./restart.fixture.ts"

/** A file system of 160 MiB of its own; undefined where this user may not mount one. */
function mounted(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), "redcar-disk-"))
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=160m", "tmpfs", folder], { stdio: "ignore" })
    return folder
  } catch {
    rmSync(folder, { recursive: true })
    return undefined
  }
}

const folder = mounted()
afterAll(() => {
  if (folder === undefined) return
  execFileSync("umount", [folder])
  rmSync(folder, { recursive: true })
})

test.skipIf(folder === undefined)(
  "a hub whose disk is full is not ready, says so everywhere alike, and is ready again when there is room (skipped where nothing can be mounted)",
  async () => {
    const data = join(folder!, "hub")
    const filler = join(folder!, "filler")
    const hub = await startHubOn(data, { "limits.segmentBytes": "4MiB", "limits.diskReserveBytes": "32MiB" })
    try {
      const publish = async () => {
        const event = { specversion: "1.0", id: crypto.randomUUID(), source: "/s", type: "t" }
        const answer = await hub.call("POST", "/v1/topics/orders/events", event)
        return [answer.status, (answer.body as { code?: string }).code]
      }
      const ready = async () => {
        const { status, body } = await hub.call("GET", "/readyz")
        return [status, body.reasons]
      }
      const doctor = async () => {
        const { out } = await runCli(["doctor", "--url", hub.address, "--data", data, "--json"])
        const { ok, checks } = JSON.parse(out) as { ok: boolean; checks: { name: string; result: string }[] }
        const found = Object.fromEntries(checks.map(({ name, result }) => [name, result]))
        return { ok, ready: found.ready, log: found.log }
      }
      expect([await publish(), await ready()]).toEqual([
        [202, undefined],
        [200, []],
      ])
      const { bavail, bsize } = statfsSync(folder!)
      writeFileSync(filler, Buffer.alloc(bavail * bsize - (8 << 20)))
      const full = "the disk is nearly full: publishing is refused"
      await vi.waitFor(async () => expect(await ready()).toEqual([503, [full]]), { timeout: 10_000, interval: 100 })
      expect(await publish()).toEqual([507, "storage-full"])
      expect((await hub.call("GET", "/healthz")).status).toBe(200)
      expect((await hub.call("GET", "/v1/topics/orders/events?from=oldest")).status).toBe(200)
      expect(await doctor()).toEqual({ ok: false, ready: "bad", log: "good" })
      rmSync(filler)
      await vi.waitFor(async () => expect(await ready()).toEqual([200, []]), { timeout: 10_000, interval: 100 })
      expect(await publish()).toEqual([202, undefined])
      expect(await doctor()).toEqual({ ok: true, ready: "good", log: "good" })
    } finally {
      await hub.stop()
    }
  },
  60_000,
)
