/* A process that a test starts: it blocks its loop, for some milliseconds or for ever. */
import { setTimeout as wait } from "node:timers/promises"
import { startWatchdog } from "./watchdog.ts"

const [ms = "0"] = process.argv.slice(2)
const watchdog = startWatchdog({ level: "info", format: "json" })

function spinOnPurpose(untilMs: number): void {
  while (performance.now() < untilMs);
}

async function spinInMicrotasks(): Promise<void> {
  // Ends: with its process, which the test ends.
  for (;;) {
    spinOnPurpose(performance.now() + 5)
    await undefined
  }
}

// The watchdog sees beats before it sees none.
await wait(1_000)
if (ms === "forever") await spinInMicrotasks()
spinOnPurpose(performance.now() + Number(ms))
await wait(600)
console.log(JSON.stringify({ figures: watchdog.figures() }))
await watchdog.stop()
