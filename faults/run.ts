import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { Deployment, type EngineName } from "./deployment.ts"
import { Load } from "./load.ts"
import type { Scenario, Stage } from "./scenarios.ts"
import { judge, type Outage, openDeliveries, type Verdict } from "./verdict.ts"

export interface RunOptions {
  readonly engine: EngineName
  /** How long the load runs at least. */
  readonly seconds: number
  readonly ratePerSecond: number
  /** How long to wait for what is missing while nothing moves. */
  readonly stallMs: number
  /** Where the hubs' log lines are kept, in a folder of this run. */
  readonly logs?: string | undefined
  /** Told what is done, as it is done. */
  say?(what: string): void
  /** Told each second how far the load is. */
  progress?(text: string): void
  /** Told of the processes, so that they can be ended from outside. */
  opened?(deployment: Deployment): void
}

export interface Result extends Verdict {
  readonly scenario: string
  readonly engine: EngineName
  readonly published: number
  /** The longest time without an acknowledgement on one of the topics while the load ran, milliseconds. */
  readonly publishPauseMs: number
  /** The longest time without a new delivery of one of the triggers while the load ran, milliseconds. */
  readonly deliverPauseMs: number
  /** From the end of the load to the last delivery, milliseconds. */
  readonly settleMs: number
  /** What the hubs logged as errors, the first lines of each, and what they know of deliveries that have not come. */
  readonly complaints: readonly string[]
}

/** Starts everything, puts it under load, does the scenario's faults, and holds what came of it against what was promised. */
export async function runScenario(scenario: Scenario, options: RunOptions): Promise<Result> {
  const { engine } = options
  const logDirectory = options.logs && join(options.logs, `${scenario.name}-${engine}`)
  if (logDirectory) await mkdir(logDirectory, { recursive: true })
  const deployment = await Deployment.open({ engine, logDirectory, ...scenario.deployment(engine) })
  options.opened?.(deployment)
  const { ratePerSecond } = options
  const load = new Load({ key: deployment.key, ratePerSecond, targets: () => deployment.targets() })
  try {
    return await runOn(deployment, load, scenario, options)
  } finally {
    await load.close()
    await deployment.close()
  }
}

async function runOn(deployment: Deployment, load: Load, scenario: Scenario, options: RunOptions): Promise<Result> {
  const { receiver, hubs } = deployment
  const outages: Outage[] = []
  const watch = setInterval(() => options.progress?.(describeLoad(load, receiver.count)), 1_000)
  let pauses: Pauses
  try {
    pauses = await underLoad(deployment, load, scenario, options, outages)
    await settle(deployment, load, options.stallMs)
  } finally {
    clearInterval(watch)
  }
  const settleMs = performance.now() - pauses.endedAt
  const { published, acknowledged, failures } = load
  const { killsHubs } = scenario
  const hubFaults = [...hubs.flatMap(({ faults }) => faults), ...(await deployment.unready())]
  const log = await deployment.readLog()
  const account = { published, acknowledged, failures, log, taken: receiver.taken, outages, killsHubs, hubFaults }
  return {
    scenario: scenario.name,
    engine: options.engine,
    published,
    publishPauseMs: pauses.publishMs,
    deliverPauseMs: pauses.deliverMs,
    settleMs,
    complaints: [...(await explainOpen(deployment, load)), ...complaintsOf(hubs)],
    ...judge(account),
  }
}

/** So much of a log line, which may bring a long stack. */
const lineLengthMax = 400

function complaintsOf(hubs: Deployment["hubs"]): readonly string[] {
  return hubs.flatMap(({ name, complaints }) =>
    complaints.slice(0, 5).map((line) => `${name}: ${line.slice(0, lineLengthMax)}`),
  )
}

async function explainOpen(deployment: Deployment, { acknowledged }: Load): Promise<readonly string[]> {
  const open = openDeliveries({ acknowledged, taken: deployment.receiver.taken })
  const events = [...new Set(open.map((delivery) => delivery.split(" ")[1]!))].slice(0, 3)
  return Promise.all(
    events.map((id) => {
      const { event } = acknowledged.get(id)!
      return deployment.explain(event.topic, id, event.source)
    }),
  )
}

interface Pauses {
  readonly publishMs: number
  readonly deliverMs: number
  readonly endedAt: number
}

/** Resolves when the faults are over, the load's time too, and what follows the faults has been seen for a while. */
async function underLoad(
  deployment: Deployment,
  load: Load,
  scenario: Scenario,
  options: RunOptions,
  outages: Outage[],
): Promise<Pauses> {
  const durationMs = options.seconds * 1_000
  const startedAt = performance.now()
  const running = load.run()
  await scenario.faults(createStage(deployment, options, startedAt, outages))
  await pause(Math.max(startedAt + durationMs - performance.now(), durationMs / 5))
  load.stop()
  await running
  const endedAt = performance.now()
  const { receiver } = deployment
  return { publishMs: load.rhythm.longestMs(endedAt), deliverMs: receiver.rhythm.longestMs(endedAt), endedAt }
}

/** A request that nobody answers is refused after some seconds: a shorter outage would not show it. */
const pauseMsMin = 6_500
const pauseMsMax = 20_000
/** What was sent when the outage began may have been stored just before. */
const outageMarginMs = 100

function createStage(
  deployment: Deployment,
  { seconds, say }: RunOptions,
  startedAt: number,
  outages: Outage[],
): Stage {
  const pauseMs = Math.min(pauseMsMax, Math.max(pauseMsMin, (seconds * 1_000) / 3))
  const wait = async (what: string, ms: number) => {
    say?.(`${what}, for ${(ms / 1_000).toFixed(1)} s`)
    await pause(ms)
  }
  return {
    deployment,
    pauseMs,
    downMs: pauseMs / 4,
    async until(condition) {
      // Ends: with the run's time: what is waited for is how far that has come.
      while (!condition()) await pause(20)
    },
    at: (part) => pause(startedAt + part * seconds * 1_000 - performance.now()),
    wait,
    async outage(what, ms) {
      const from = performance.now() + outageMarginMs
      await wait(what, ms)
      outages.push({ from, until: performance.now() })
    },
  }
}

/** Waits until all that was begun is acknowledged and delivered, or nothing has moved for `stallMs`. */
async function settle({ receiver }: Deployment, load: Load, stallMs: number): Promise<void> {
  await whileMoving(
    () => load.outstanding === 0,
    () => load.acknowledged.size,
    stallMs,
  )
  let open = openDeliveries({ acknowledged: load.acknowledged, taken: receiver.taken })
  await whileMoving(
    () => {
      open = open.filter((delivery) => {
        const [trigger = "", id = ""] = delivery.split(" ")
        return !receiver.taken.get(trigger)?.has(id)
      })
      return open.length === 0
    },
    () => receiver.count,
    stallMs,
  )
}

/** Resolves when `isOver`, or when `count` has stayed the same for `stallMs`. */
async function whileMoving(isOver: () => boolean, count: () => number, stallMs: number): Promise<void> {
  let [last, movedAt] = [count(), performance.now()]
  while (!isOver() && performance.now() - movedAt < stallMs) {
    await pause(50)
    if (count() !== last) [last, movedAt] = [count(), performance.now()]
  }
}

function describeLoad(load: Load, delivered: number): string {
  const { published, acknowledged } = load
  return `published ${published}, acknowledged ${acknowledged.size}, refused ${load.count(503)}, delivered ${delivered}`
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, ms)))
}
