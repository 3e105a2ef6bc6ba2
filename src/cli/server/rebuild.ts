import { natsServers } from "../../config/relations.ts"
import type { Settings } from "../../config/schema.ts"
import { isReservedTopic } from "../../core/address.ts"
import { isDelayed } from "../../core/delayed.ts"
import type { Inventory } from "../../migrate/inventory.ts"
import type { CommonOptions, Context } from "../command.ts"
import { exitCodes, FailedError, ToldError, UsageError } from "../failures.ts"
import { type Progress, plural, startProgress } from "../progress.ts"
import { coloursFor, printable, type Terminal } from "../terminal.ts"
import { folderSettings, logGone, whatIsLeft } from "./folder-check.ts"

/** What a hub has after its state was made anew. */
interface Rebuilt {
  readonly data: string
  readonly seconds: number
  readonly events: number
  readonly resources: { readonly topics: number; readonly triggers: number; readonly destinations: number }
  readonly openDeliveries: number
  readonly deadLetters: number
  /** What is wrong with the log, one line each. */
  readonly health: readonly string[]
}

/** `redcar doctor --rebuild`: makes the state of a hub that does not run anew from its log. */
export async function rebuild(context: Context, options: CommonOptions): Promise<void> {
  const { terminal } = context
  const settings = folderSettings(options, terminal)
  check(settings)
  const startedAt = performance.now()
  const { inventory, lines } = await run(terminal, settings)
  const rebuilt = told(settings.data, (performance.now() - startedAt) / 1_000, inventory, lines)
  await terminal.out(options.json ? `${JSON.stringify(rebuilt, null, 2)}\n` : text(terminal, rebuilt))
  if (rebuilt.health.length > 0) throw new ToldError(exitCodes.failed)
}

function check(settings: Settings): void {
  if (natsServers(settings.engine) !== undefined) {
    throw new UsageError("this hub's engine is NATS JetStream, which has no state to make anew", [
      "What each process keeps beside it is made anew by its next start: delete the nats folder in its data directory.",
    ])
  }
  const left = whatIsLeft(settings)
  if (left === "rest") throw new FailedError(logGone.detail(settings), [logGone.next])
  if (left === "nothing") {
    throw new UsageError(`there is no hub's log in ${settings.data}`, ["Name its data directory with --data."])
  }
}

async function run(terminal: Terminal, settings: Settings) {
  const { openRebuilt } = await import("../../main-offline.ts")
  const { takeInventory } = await import("../../migrate/inventory.ts")
  const lines: string[] = []
  const bars = new Bars(terminal)
  try {
    const engine = await openRebuilt(
      settings,
      (line) => void lines.push(line),
      (step) => bars.tell(step),
    )
    try {
      const inventory = await takeInventory(engine)
      return { inventory, lines: [...new Set([...lines, ...engine.health()])] }
    } finally {
      await engine.close()
    }
  } finally {
    bars.end()
  }
}

interface Step {
  readonly phase: "reading" | "replaying"
  readonly done: number
  readonly total: number
}

const phases: Readonly<Record<Step["phase"], string>> = {
  reading: "reading the events",
  replaying: "doing again what was done to resources and deliveries",
}

/** A bar for each phase. */
class Bars {
  readonly #terminal: Terminal
  #phase: Step["phase"] | undefined
  #bar: Progress | undefined

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  tell({ phase, done, total }: Step): void {
    if (phase !== this.#phase) {
      this.#bar?.end()
      this.#bar = startProgress(this.#terminal, total)
      this.#phase = phase
    }
    this.#bar?.update(done, phases[phase])
  }

  end(): void {
    this.#bar?.end()
  }
}

function told(data: string, seconds: number, inventory: Inventory, health: readonly string[]): Rebuilt {
  const { openDeliveries, deadLetters } = inventory
  const own = inventory.topics.filter(({ topic }) => !isReservedTopic(topic) && !isDelayed({ topic }))
  const of = (kind: string) => inventory.catalog.find((each) => each.kind === kind)?.items ?? 0
  return {
    data,
    seconds: Math.round(seconds * 1_000) / 1_000,
    events: own.reduce((sum, { events }) => sum + events, 0),
    resources: { topics: of("topic"), triggers: of("trigger"), destinations: of("destination") },
    openDeliveries,
    deadLetters,
    health,
  }
}

function text(terminal: Terminal, rebuilt: Rebuilt): string {
  const { data, seconds, events, resources, openDeliveries, deadLetters, health } = rebuilt
  const colours = coloursFor(terminal, "stdout")
  const counts = [
    plural(events, "event"),
    plural(resources.topics, "topic"),
    plural(resources.triggers, "trigger"),
    plural(resources.destinations, "destination"),
    plural(openDeliveries, "open delivery", "open deliveries"),
    plural(deadLetters, "dead letter"),
  ]
  const lines = [
    `${colours.green("✓")} made the state of ${printable(data)} anew from its log, in ${seconds.toFixed(1)} s`,
    `  ${counts.join(", ")}`,
    ...health.map((line) => `${colours.red("✗")} ${printable(line)}`),
  ]
  return lines.map((line) => `${line}\n`).join("")
}
