import { closeSync, openSync, writeSync } from "node:fs"
import { parseArgs } from "node:util"
import { runMutants } from "./mutants.ts"
import { type RunResult, simulate } from "./run.ts"
import { longSeeds, longShare } from "./scenario.ts"

const usage = `The whole hub from a seed, with faults; its invariants are checked after every run.

A seed is one run: a hub is started, used and harmed for some seconds of simulated time, then let be until nothing is owed, and held
against all that was seen. Seeds up to ${longSeeds}, and one in ${1 / longShare} behind them, are long: 8 to 18 s with all kinds of use and of
faults. The others are brief: up to 2 s, fewer destinations, and some of these only, chosen anew by each seed. Both do the same
from the same seed, every time.

  npm run sim -- --seeds 200          seeds 1 to 200
  npm run sim -- --seeds 50 --from 7  seeds 7 to 56
  npm run sim -- --seed 42            one seed, with its trace
  npm run sim -- --seed 42 --trace run.txt
  npm run sim -- --mutants            break the source on purpose, and see that each mutant is found
  npm run sim -- --mutants --only lease
  npm run sim -- --mutants --held     the same, where --seeds 1200 has just held

Exit code: 0 all held, 1 an invariant broke, 2 the arguments are wrong or the simulator is.
`

const exitBroken = 1
const exitWrong = 2

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      seeds: { type: "string", default: "200" },
      from: { type: "string", default: "1" },
      seed: { type: "string" },
      trace: { type: "string" },
      mutants: { type: "boolean", default: false },
      only: { type: "string" },
      held: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  })
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  if (values.mutants) return (await runMutants(values.only, values.held)) ? 0 : exitBroken
  if (values.seed !== undefined) return runOne(whole("seed", values.seed), values.trace)
  return runMany(whole("from", values.from), whole("seeds", values.seeds))
}

function whole(name: string, text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < 0) throw new TypeError(`--${name} takes a whole number, not ${text}`)
  return value
}

/** One seed with its trace, to standard output or to a file. */
async function runOne(seed: number, path: string | undefined): Promise<number> {
  const file = path === undefined ? process.stdout.fd : openSync(path, "w")
  const result = await simulate({ seed, keep: (line) => void writeAll(file, line) })
  if (path !== undefined) closeSync(file)
  process.stderr.write(`${describe(result)}\n`)
  return result.violation ? exitBroken : 0
}

/** A pipe may take less than a line, or nothing for the moment. */
function writeAll(file: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(file, bytes, done)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error
    }
  }
}

async function runMany(from: number, seeds: number): Promise<number> {
  const startedAt = performance.now()
  const totals = new Map<string, number>()
  for (let done = 0; done < seeds; done++) {
    progress(done, seeds)
    const seed = from + done
    const result = await simulate({ seed }).catch((error: unknown) => {
      progress(seeds, seeds)
      process.stderr.write(replayLine(seed))
      throw error
    })
    if (result.violation) {
      progress(seeds, seeds)
      process.stdout.write(`${describe(result)}\n${replayLine(seed)}`)
      return exitBroken
    }
    for (const [what, count] of result.counts) totals.set(what, (totals.get(what) ?? 0) + count)
  }
  progress(seeds, seeds)
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  const figures = [...totals].map(([what, count]) => `${count} ${what}`).join(", ")
  process.stdout.write(`${seeds} seeds held in ${seconds} s: ${figures}\n`)
  return 0
}

function replayLine(seed: number): string {
  return `replay: npm run sim -- --seed ${seed}\n`
}

/** One line about a run. */
function describe({ seed, violation, lines, digest }: RunResult): string {
  const what = violation ? `invariant ${violation.invariant} broke: ${violation.message}` : "held"
  return `seed ${seed}: ${what} (trace of ${lines} lines, sha256 ${digest})`
}

/** A bar on a terminal; nothing elsewhere. */
function progress(done: number, all: number): void {
  if (!process.stderr.isTTY) return
  if (done === all) {
    process.stderr.write("\r\x1b[K")
    return
  }
  const width = 40
  const filled = Math.floor((done / all) * width)
  process.stderr.write(`\r[${"#".repeat(filled)}${".".repeat(width - filled)}] ${done}/${all} seeds`)
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof TypeError ? error.message : error)
  process.exitCode = exitWrong
}
