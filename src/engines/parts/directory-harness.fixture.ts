import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Clock } from "../../core/clock.ts"
import { createSimulatedClock, mortalClock, quiesce } from "../../testing/clock.ts"
import type { Harness } from "../conformance/harness.ts"

/** What one process has open. */
export interface Process<T> {
  readonly opened: T
  /** Ends it properly. */
  close(): Promise<void>
  /** Lets go of its files without telling it. */
  abandon(): Promise<void>
  /** Resolves when what it was writing is written. */
  written(): Promise<void>
}

/**
 * A harness for what lives in a directory and keeps time by a simulated clock. A crash abandons what is open: none of its
 * timers runs again, nothing of it is closed.
 */
export async function directoryHarness<T>(
  open: (directory: string, clock: Clock) => Promise<Process<T>>,
): Promise<Harness<T>> {
  const directory = mkdtempSync(join(tmpdir(), "redcar-engine-"))
  const clock = createSimulatedClock(1_700_000_000_000)
  let life = mortalClock(clock)
  let current: Process<T> | undefined
  const start = async () => {
    life = mortalClock(clock)
    current = await open(directory, life.clock)
    return current.opened
  }
  return {
    open: start,
    async elapse(ms) {
      await clock.advance(ms)
      // The disk keeps no simulated time: what came due may have been written after its moment had passed.
      for (let i = 0; i < 3; i++) {
        await current?.written()
        await clock.advance(0)
      }
    },
    async crash() {
      life.stop()
      await quiesce()
      await current?.abandon()
      return start()
    },
    async dispose() {
      await current?.close()
      life.stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
