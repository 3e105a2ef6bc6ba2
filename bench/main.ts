import { cpus, totalmem } from "node:os"
import { delayed } from "./delayed.ts"
import { deliver } from "./deliver.ts"
import { engines } from "./engines.ts"
import { fairness } from "./fairness.ts"
import { run as match } from "./match.ts"
import type { Scenario } from "./measure.ts"
import { ordered } from "./ordered.ts"
import { peers } from "./peers.ts"
import { batch, publish } from "./publish.ts"
import { queue } from "./queue.ts"
import { read } from "./read.ts"

const scenarios: Readonly<Record<string, Scenario>> = {
  publish,
  batch,
  deliver,
  ordered,
  delayed,
  fairness,
  queue,
  read,
  match,
  engines,
  peers,
}

const usage = `npm run bench -- <scenario>… [--quick] [--events 100000]

Scenarios: ${Object.keys(scenarios).join(", ")}, all
Each runs in turn with a baseline beside it. The lines that begin with { are for programs.`

async function main(args: readonly string[]): Promise<number> {
  const quick = args.includes("--quick")
  const at = args.indexOf("--events")
  const events = at < 0 ? undefined : Number(args[at + 1])
  const asked = args.filter((arg, i) => !arg.startsWith("--") && (at < 0 || i !== at + 1))
  const names = asked.includes("all") ? Object.keys(scenarios) : asked
  if (
    names.length === 0 ||
    (events !== undefined && !(events > 0)) ||
    names.some((name) => scenarios[name] === undefined)
  ) {
    console.error(usage)
    return 2
  }
  const { model } = cpus()[0] ?? { model: "unknown" }
  console.log(
    `${model}, ${cpus().length} cores, ${Math.round(totalmem() / 2 ** 30)} GiB, Node ${process.versions.node}`,
  )
  const lines: string[] = []
  for (const name of names) {
    for await (const measure of scenarios[name]!({ quick, ...(events !== undefined && { events }) })) {
      const { scenario, figure, unit, baseline, ratio } = measure
      console.log(`${scenario}: ${figure} ${unit}, baseline ${baseline}, ratio ${ratio}`)
      lines.push(JSON.stringify(measure))
    }
  }
  for (const line of lines) console.log(line)
  return 0
}

process.exitCode = await main(process.argv.slice(2))
