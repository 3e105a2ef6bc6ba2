import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { natsAvailable } from "../src/testing/nats.ts"
import { type Deployment, type EngineName, engines } from "./deployment.ts"
import { type Result, runScenario } from "./run.ts"
import { type Scenario, scenarios } from "./scenarios.ts"

const usage = `Real hubs and servers under load, with faults; then what came of it is held against what was promised.

  npm run faults                                   every scenario on every engine that it is for
  npm run faults -- kill-hub --engine embedded
  npm run faults -- lose-quorum --seconds 60 --rate 500
  npm run faults -- --engine nats3 --quick         shorter, and less load
  npm run faults -- kill-hub --logs ./logs         keeps what the hubs log

Engines: embedded; nats1 and nats3 are NATS JetStream on one server and on three (they need nats-server in PATH, or its
program in NATS_SERVER). Scenarios:

${scenarios.map(({ name, about }) => `  ${name.padEnd(17)}${about}`).join("\n")}

Exit code: 0 all held, 1 something was lost or false, 2 the arguments are wrong or the harness is.
`

const exitFailed = 1
const exitWrong = 2
const stallMs = 60_000

interface Options {
  readonly scenarios: readonly Scenario[]
  readonly engines: readonly EngineName[]
  readonly seconds: number
  readonly ratePerSecond: number
  readonly logs: string | undefined
}

function readOptions(): Options | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      engine: { type: "string", multiple: true, default: [...engines] },
      seconds: { type: "string" },
      rate: { type: "string" },
      quick: { type: "boolean", default: false },
      logs: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  })
  if (values.help) return undefined
  return {
    scenarios: positionals.length === 0 ? scenarios : positionals.map(scenarioNamed),
    engines: values.engine.map(engineNamed),
    seconds: above0("seconds", values.seconds ?? (values.quick ? "12" : "60")),
    ratePerSecond: above0("rate", values.rate ?? (values.quick ? "150" : "500")),
    logs: values.logs,
  }
}

function scenarioNamed(name: string): Scenario {
  const scenario = scenarios.find((one) => one.name === name)
  if (scenario === undefined) throw new TypeError(`there is no scenario ${name}; --help lists them`)
  return scenario
}

function engineNamed(name: string): EngineName {
  const engine = engines.find((one) => one === name)
  if (engine === undefined) throw new TypeError(`--engine takes ${engines.join(", ")}, not ${name}`)
  return engine
}

function above0(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new TypeError(`--${name} takes a number above 0, not ${text}`)
  return value
}

async function main(): Promise<number> {
  const options = readOptions()
  if (options === undefined) {
    process.stdout.write(usage)
    return 0
  }
  const open = new Set<Deployment>()
  cleanUpAtEnd(open)
  const runs = options.scenarios.flatMap((scenario) =>
    options.engines.filter((engine) => scenario.engines.includes(engine)).map((engine) => ({ scenario, engine })),
  )
  if (runs.length === 0) throw new TypeError("none of these scenarios is for this engine")
  let failed = 0
  for (const { scenario, engine } of runs) {
    if (engine !== "embedded" && natsAvailable() === undefined) {
      process.stdout.write(`SKIPPED ${scenario.name} on ${engine}: there is no nats-server here\n`)
      continue
    }
    if (!(await runOne(scenario, engine, options, open))) failed++
  }
  return failed === 0 ? 0 : exitFailed
}

async function runOne(
  scenario: Scenario,
  engine: EngineName,
  { seconds, ratePerSecond, logs }: Options,
  open: Set<Deployment>,
): Promise<boolean> {
  const name = `${scenario.name} on ${engine}`
  try {
    const result = await runScenario(scenario, {
      engine,
      seconds,
      ratePerSecond,
      stallMs,
      logs,
      say: (what) => tell(`${name}: ${what}\n`),
      progress: (text) => (process.stderr.isTTY ? tell(`${name}: ${text}`) : undefined),
      opened: (deployment) => open.add(deployment),
    })
    tell("")
    process.stdout.write(`${describe(result)}\n`)
    return result.faults.length === 0
  } catch (error) {
    tell("")
    process.stdout.write(`FAILED ${name}: it could not be run: ${String(error)}\n`)
    return false
  }
}

/** On a terminal each text takes the place of the last one that did not end its line. */
function tell(text: string): void {
  process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : text)
}

function describe(result: Result): string {
  const { scenario, engine, published, acknowledged, refused, delivered, repeated, storedAgain, faults } = result
  const s = (ms: number) => `${(ms / 1_000).toFixed(1)} s`
  const line =
    `${faults.length === 0 ? "ok" : "FAILED"} ${scenario} on ${engine}: published ${published}, ` +
    `acknowledged ${acknowledged}, refused ${refused}, delivered ${delivered}, repeated ${repeated}, ` +
    `stored again ${storedAgain}, longest pause publish ${s(result.publishPauseMs)}, ` +
    `deliver ${s(result.deliverPauseMs)}, settled in ${s(result.settleMs)}`
  if (faults.length === 0) return line
  return [line, ...faults.map((fault) => `  ${fault}`), ...result.complaints.map((text) => `  ${text}`)].join("\n")
}

/** Everything temporary is in one folder, which goes with this process, however it ends. */
function cleanUpAtEnd(open: ReadonlySet<Deployment>): void {
  const folder = mkdtempSync(join(tmpdir(), "redcar-faults-"))
  process.env.TMPDIR = folder
  process.once("exit", () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  for (const [signal, code] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.once(signal, async () => {
      await Promise.all([...open].map((deployment) => deployment.close()))
      process.exit(code)
    })
  }
}

try {
  process.exitCode = await main()
} catch (error) {
  console.error(error instanceof TypeError ? error.message : error)
  process.exitCode = exitWrong
}
