import type { Logger } from "../core/logger.ts"

/** How far long work is. */
export interface WorkStep {
  readonly phase: string
  readonly done: number
  readonly total: number
}

/** One line of the log for each tenth of the way. */
export function tellTenths(log: Logger, what: string): (step: WorkStep) => void {
  let told = ""
  return ({ phase, done, total }) => {
    const percent = total === 0 ? 100 : Math.floor((10 * done) / total) * 10
    if (told === `${phase} ${percent}`) return
    told = `${phase} ${percent}`
    log.warn({ phase, percent }, what)
  }
}
