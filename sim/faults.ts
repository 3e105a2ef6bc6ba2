import type { Workplace } from "./workplace.ts"
import { diskBytes } from "./world.ts"

/** Cuts the power at chosen steps, early ones too, so that a start dies as well; and stops the hub in good order. */
export async function crashes({ processes, scenario, chance, working, pause }: Workplace): Promise<void> {
  const pauseMs = scenario.faultsMs / (scenario.crashes + 1)
  for (let i = 0; i < scenario.crashes && working(); i++) {
    await pause(2 * pauseMs * chance.next())
    if (!working()) return
    if (chance.happens(0.2)) await processes.restart()
    else processes.cutAfter(chance.happens(0.3) ? chance.between(1, 40) : chance.between(1, 1_000))
    if (chance.happens(0.3)) processes.cutAfter(chance.between(1, 200))
  }
}

/** The machine sleeps, or somebody sets its clock: time leaps forward. */
export async function jumps({ world, chance, working, pause }: Workplace): Promise<void> {
  // Ends: with the time for faults.
  while (working()) {
    await pause(40_000 * chance.next())
    if (!working() || chance.happens(0.4)) continue
    const ms = chance.pick([500, 5_000, 30_000, 120_000])
    const at = world.clock.now()
    world.trace.line(`the clock leaps by ${ms}`)
    world.record.count("leaps")
    world.record.jumps.push({ at, ms })
    world.record.disturbances.push({ from: at, to: at + ms + 2_000 })
    world.clock.jump(ms)
  }
}

/** Now and then the disk has no room, for a while. */
export async function fullDisk({ world, chance, working, pause }: Workplace): Promise<void> {
  // Ends: with the time for faults.
  while (working()) {
    await pause(20_000 * chance.next())
    if (!working() || chance.happens(0.4)) continue
    const what = chance.pick(["segments", "state", "segments and state"] as const)
    world.trace.line(`the disk is full for ${what}`)
    world.record.count("full disks")
    if (what !== "state") world.disk.bytesMax = world.disk.bytesUsed
    world.store.full = what !== "segments"
    const disturbance = { from: world.clock.now(), to: Number.POSITIVE_INFINITY }
    world.record.disturbances.push(disturbance)
    await pause(5_000 * chance.next())
    world.disk.bytesMax = diskBytes
    world.store.full = false
    // The router tries again after ten seconds at the latest, and then has a backlog.
    disturbance.to = world.clock.now() + 14_000
  }
}
