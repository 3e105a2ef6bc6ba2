import { createHash } from "node:crypto"
import type { Clock } from "../src/core/clock.ts"

/** What happened in a run, one line each. */
export interface Trace {
  line(text: string): void
  readonly lines: number
  /** The SHA-256 of all lines so far, in hex. */
  digest(): string
}

/** A trace that hashes its lines, and hands each to `keep`. */
export function createTrace(clock: Clock, keep?: (line: string) => void): Trace {
  const hash = createHash("sha256")
  const startMs = clock.now()
  let lines = 0
  let pending = ""
  return {
    line(text) {
      const line = `${clock.now() - startMs} ${text}\n`
      lines++
      keep?.(line)
      pending += line
      if (pending.length < 65_536) return
      hash.update(pending)
      pending = ""
    },
    get lines() {
      return lines
    },
    digest() {
      hash.update(pending)
      pending = ""
      return hash.copy().digest("hex")
    },
  }
}
