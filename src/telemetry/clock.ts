import { randomFillSync } from "node:crypto"
import type { Chance, Clock } from "../core/clock.ts"

/** The longest time that setTimeout can wait; it takes more for 1 ms. */
const timeoutMsMax = 2 ** 31 - 1

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  steady: () => performance.now(),
  after: (ms, run) => {
    let timer: NodeJS.Timeout
    // A long wait is a row of the longest ones.
    const wait = (leftMs: number) => {
      const stepMs = Math.min(leftMs, timeoutMsMax)
      timer = setTimeout(() => (leftMs > stepMs ? wait(leftMs - stepMs) : run()), stepMs)
      timer.unref()
    }
    wait(Math.max(0, ms))
    return () => clearTimeout(timer)
  },
}

/** Crockford's base 32: no letter in it looks like a digit, and it sorts as the numbers do. */
const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
const timeDigits = 10
const randomDigits = 16

/** The machine's chance. Ids are 10 digits of `clock`'s time and 16 random ones: 80 bits. */
export function createSystemChance(clock: Clock = systemClock): Chance {
  // Filling one byte costs nearly as much as filling all of these.
  const pool = new Uint8Array(randomDigits * 256)
  let used = pool.length
  let prefixMs = -1
  let prefix = ""
  return {
    next: () => Math.random(),
    id: () => {
      if (used === pool.length) {
        randomFillSync(pool)
        used = 0
      }
      const now = clock.now()
      if (now !== prefixMs) {
        prefixMs = now
        prefix = timeText(now)
      }
      let id = prefix
      for (const end = used + randomDigits; used < end; used++) id += digits[pool[used]! & 31]
      return id
    },
  }
}

function timeText(ms: number): string {
  let text = ""
  let left = ms
  for (let i = 0; i < timeDigits; i++) {
    text = digits[left % 32]! + text
    left = Math.floor(left / 32)
  }
  return text
}
