import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import { Event } from "../core/event.ts"
import { catalogConformance } from "./conformance/catalog.ts"
import type { Exemptions, Harness } from "./conformance/harness.ts"
import { logConformance } from "./conformance/log.ts"
import { queueConformance } from "./conformance/queue.ts"
import type { QueueUnderTest } from "./conformance/queue-fixture.ts"

export type EngineHarness = Harness<Engine>

/** Every engine passes all of it. `exempt`: titles of tests that this one need not pass, each with the reason. */
export function engineConformance(name: string, make: () => Promise<EngineHarness>, exempt: Exemptions = {}): void {
  logConformance(name, make, exempt)
  queueConformance(name, async () => queueHarness(await make()), exempt)
  catalogConformance(name, make, exempt)
}

/** A queue's places in the log are those of events that the same engine stores. */
function queueHarness(harness: EngineHarness): Harness<QueueUnderTest> {
  let engine: Engine
  let named = 0
  const tested = (opened: Engine): QueueUnderTest => {
    engine = opened
    return { queue: opened.queue, cursors }
  }
  const cursors = async (count: number): Promise<readonly Cursor[]> => {
    const events = Array.from({ length: count }, () =>
      Event.of({ specversion: "1.0", id: `place-${named++}`, source: "/places", type: "place" }),
    )
    const appended = await engine.log.append({ tenant: "acme", topic: "places" }, events)
    return appended.map((one) => one.cursor)
  }
  return {
    open: async () => tested(await harness.open()),
    elapse: (ms) => harness.elapse(ms),
    crash: async () => tested(await harness.crash(engine)),
    dispose: () => harness.dispose(),
  }
}
