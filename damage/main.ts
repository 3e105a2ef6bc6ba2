import { chmodSync, mkdtempSync, renameSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { type Kind, kinds } from "./kinds.ts"
import { type Variant, variants } from "./oracle.ts"
import { Summary } from "./summary.ts"
import { runTrial, type TrialResult } from "./trial.ts"
import { openTrialHubs } from "./trial-hubs.ts"

const usage = `Damages the folder of a hub at random, starts a hub on it, and holds what that one does against what was promised.

  npm run damage                                    100 trials
  npm run damage -- --trials 1000 --seed 7          trials 7 to 1006
  npm run damage -- --trials 20 --only log-bit      one kind; several, when given again
  npm run damage -- --variant killed                one of ${variants.join(", ")}
  npm run damage -- --hubs ./hubs --seed 42 --trials 1 --keep
                                                    on the hubs that a run with --hubs has left there, so that a trial is
                                                    the same again; keeps the folder of each trial that fails

Kinds of damage:

${kinds.map(({ name, about }) => `  ${name.padEnd(22)}${about}`).join("\n")}

Exit code: 0 all held, 1 something did not, 2 the arguments are wrong or the harness is.
`

const exitFailed = 1
const exitWrong = 2
const lanesMax = 2

interface Options {
  readonly trials: number
  readonly seed: number
  readonly lanes: number
  readonly only: readonly Kind[]
  readonly variant: Variant | undefined
  /** Holds the generated hubs, and stays; undefined: a temporary folder. */
  readonly hubs: string | undefined
  readonly keep: boolean
}

function readOptions(): Options | undefined {
  const { values } = parseArgs({
    options: {
      trials: { type: "string", default: "100" },
      seed: { type: "string", default: "1" },
      lanes: { type: "string", default: String(lanesMax) },
      only: { type: "string", multiple: true, default: [] },
      variant: { type: "string" },
      hubs: { type: "string" },
      keep: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  })
  if (values.help) return undefined
  const variant = variants.find((one) => one === values.variant)
  if (values.variant !== undefined && variant === undefined)
    throw new TypeError(`--variant takes ${variants.join(", ")}, not ${values.variant}`)
  if (values.keep && values.hubs === undefined) throw new TypeError("--keep needs --hubs, a folder to keep them in")
  return {
    trials: whole("trials", values.trials, 1),
    seed: whole("seed", values.seed, 0),
    lanes: whole("lanes", values.lanes, 1),
    only: values.only.map(kindNamed),
    variant,
    hubs: values.hubs,
    keep: values.keep,
  }
}

function kindNamed(name: string): Kind {
  const kind = kinds.find((one) => one.name === name)
  if (kind === undefined) throw new TypeError(`there is no kind ${name}; --help lists them`)
  return kind
}

function whole(name: string, text: string, minimum: number): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value) || value < minimum)
    throw new TypeError(`--${name} takes a whole number from ${minimum}, not ${text}`)
  return value
}

async function main(): Promise<number> {
  const options = readOptions()
  if (options === undefined) {
    process.stdout.write(usage)
    return 0
  }
  const folder = options.hubs ?? temporaryFolder()
  const summary = new Summary()
  const lanes = Math.min(options.lanes, lanesMax)
  await Promise.all(Array.from({ length: lanes }, (_, lane) => runLane(folder, lane, lanes, options, summary)))
  process.stdout.write(`${summary.text()}\n`)
  return summary.failed === 0 ? 0 : exitFailed
}

/** Every seed is always of the same lane, and so of the same hub. */
async function runLane(folder: string, lane: number, lanes: number, options: Options, summary: Summary): Promise<void> {
  const { seed: first, trials, only, variant } = options
  const seeds = Array.from({ length: trials }, (_, i) => first + i).filter((seed) => seed % lanes === lane)
  if (seeds.length === 0) return
  const prepared = await openTrialHubs(join(folder, `lane-${lane}`), lane)
  try {
    for (const seed of seeds) {
      const kind = only.length === 0 ? undefined : only[Math.floor(seed / lanes) % only.length]
      const result = await runTrial(prepared, { seed, kind, variant })
      summary.add(result)
      tell(result)
      if (options.keep && result.faults.length > 0) {
        rmSync(join(folder, `failed-${seed}`), { recursive: true, force: true })
        renameSync(prepared.work, join(folder, `failed-${seed}`))
      }
    }
  } finally {
    await prepared.close()
    rmSync(prepared.work, { recursive: true, force: true })
  }
}

/** What failed, as it fails; on a terminal also how far it is. */
function tell(result: TrialResult): void {
  if (result.faults.length > 0) process.stdout.write(`${describe(result)}\n`)
  else if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${result.seed} ${result.kinds.join(" and ")}`)
}

function describe({ seed, variant, damage, end, said, faults, crashes }: TrialResult): string {
  const crashed = crashes > 0 ? `, crashed at ${crashes} starts` : ""
  return [
    `FAILED --seed ${seed} (${variant}): ${damage.what.join("; and ")}: ${end}${crashed}`,
    ...faults.map((fault) => `  ${fault}`),
    ...said.map((line) => `  it says: ${line}`),
  ].join("\n")
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "redcar-damage-"))
  // Some trials run as another user.
  chmodSync(folder, 0o755)
  process.once("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    process.once(signal, () => process.exit(code))
  return folder
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof TypeError ? error.message : error)
  process.exitCode = exitWrong
}
