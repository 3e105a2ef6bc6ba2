import { closeSync, openSync, readFileSync } from "node:fs"
import type { Logger } from "../core/logger.ts"
import type { Condition } from "../core/troubles.ts"

/** With fewer a hub runs out of them long before it runs out of anything else. */
const advisedMin = 1_024
const remedy = "let it have more (ulimit -n 65536, LimitNOFILE= of a systemd unit, --ulimit nofile= of a container)"

/** How many files and connections this process may have open at once; undefined where the system does not say. */
export function descriptorsMax(read: () => string = limits): number | undefined {
  try {
    const found = /^Max open files +(\d+)/m.exec(read())
    return found === null ? undefined : Number(found[1])
  } catch {
    return undefined
  }
}

function limits(): string {
  return readFileSync("/proc/self/limits", "utf8")
}

/** Tells the log, at the start, of a limit that is too low. */
export function warnOfDescriptors(log: Logger, max: number | undefined = descriptorsMax()): void {
  if (max === undefined || max >= advisedMin) return
  const line = `this process may have ${max} files and connections open at once, which ${max - 40} clients use up: ${remedy}`
  log.warn({ descriptorsMax: max }, line)
}

/** Whether no more files and connections can be opened now. */
export function descriptorsUsedUp(): readonly Condition[] {
  try {
    closeSync(openSync("/dev/null", "r"))
    return []
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== "EMFILE" && code !== "ENFILE") return []
    const max = code === "EMFILE" ? descriptorsMaxAtStart : undefined
    const many = max === undefined ? "" : ` (${max})`
    return [
      {
        key: "descriptors",
        line:
          `as many files and connections are open as may be${many}: new connections are refused, and publishing where the log ` +
          `needs a new file; ${remedy}, or have clients close what they do not use`,
        over: "files and connections can be opened again",
      },
    ]
  }
}

/** When none is left, the system cannot be asked any more. */
const descriptorsMaxAtStart = descriptorsMax()
