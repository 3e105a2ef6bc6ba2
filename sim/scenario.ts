import type { RetryPolicy } from "../src/core/delivery.ts"
import type { Filter, Ordering } from "../src/core/resources.ts"
import { type Missed, misseds } from "../src/core/schedules.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import type { Behaviour, Endpoint, SimulatedConfig } from "../src/testing/destinations.ts"
import type { World } from "./world.ts"

export const tenants = ["t1", "t2"] as const
export type Tenant = (typeof tenants)[number]
export const topics = ["orders", "ticks"] as const
/** Topics that come and go, and keep what they are told to. */
export const sideTopics = ["noise", "side"] as const
/** The one of them that keeps its newest events only, at first. */
export const trimmedTopic = "noise"
export const trimmedEventsMax = 10
/** What schedules alone publish to. */
export const clockTopic = "clockwork"
/** What destinations answer with is published to. */
export const answersTopic = "answers"
/** Schedules that come and go. */
export const sideSchedules = ["side-interval", "side-cron"] as const
/** Subscriptions that come and go, and what each reads. */
export const subscriptionTopics: Readonly<Record<string, string>> = {
  "reads-orders": "orders",
  "reads-ticks": "ticks:a",
  "reads-side": "side",
}
export const keys = ["a", "b", undefined] as const
export const eventTypes = ["order.made", "order.paid", "stock.low"] as const

/** A repeated event within this time is a duplicate, on every topic. */
export const dedupeWindowMs = 60_000

/** The work queue that each tenant has, and how long its leases are. */
export const queueId = "queue-0"
export const queueLeaseMs = 3_000

/** What an endpoint is like while faults last. */
export type Character =
  | "steady"
  | "slow"
  | "hanging"
  | "failing"
  | "flapping"
  | "resting"
  | "lossy"
  | "refusing"
  | "gone"
  | "telling"

const troubled: readonly Character[] = [
  "slow",
  "hanging",
  "failing",
  "flapping",
  "resting",
  "lossy",
  "refusing",
  "gone",
  "telling",
]

/** One destination, one trigger on it at least. */
export interface DestinationPlan {
  readonly tenant: string
  readonly id: string
  readonly character: Character
  /** It is made and deleted, by and by. */
  readonly comesAndGoes?: boolean
  /** Workers lease what it is owed. */
  readonly isQueue?: boolean
  /** Their leases never lapse. */
  readonly isForever?: boolean
  /** What goes there is signed. */
  readonly signed?: boolean
}

export interface TriggerPlan {
  readonly tenant: string
  readonly id: string
  readonly destination: string
  readonly topic: string
  readonly filters: readonly Filter[]
  readonly retry: RetryPolicy
  readonly ordering?: Ordering
  /** Its filters stay, it is neither paused nor deleted: what it owes is known exactly. */
  readonly stable: boolean
}

/** A schedule that stays as it is: its runs are known exactly. */
export interface SchedulePlan {
  readonly tenant: string
  readonly id: string
  /** Between two runs, whether it is an interval or a cron expression that says so. */
  readonly everyMs: number
  readonly cron?: string
  readonly missed: Missed
}

/** Who and what is at work while faults last. Who else publishes and calls is so in every run. */
export const parts = [
  ...["early publisher", "other caller", "redriver", "subscriber", "sleeper", "filler"],
  ...["crashes", "jumps", "full disk", "schedules", "queue"],
] as const
export type Part = (typeof parts)[number]

export interface Scenario {
  /** A long run has all of them and does everything, a brief one some of it: so each combination has its turn. */
  readonly isBrief: boolean
  readonly parts: ReadonlySet<Part>
  readonly destinations: readonly DestinationPlan[]
  readonly triggers: readonly TriggerPlan[]
  readonly schedules: readonly SchedulePlan[]
  /** When faults stop, in milliseconds from the start. */
  readonly faultsMs: number
  readonly crashes: number
}

/** What this seed is about. */
export function planScenario(chance: SimulatedChance, seed: number): Scenario {
  const isBrief = seed > longSeeds && !chance.happens(longShare)
  const its = new Set(isBrief ? parts.filter(() => chance.happens(0.5)) : parts)
  const destinations: DestinationPlan[] = []
  const triggers: TriggerPlan[] = []
  for (const tenant of tenants) {
    const length = isBrief ? chance.between(1, 2) : chance.between(2, 4)
    const characters = ["steady" as const, ...Array.from({ length }, () => chance.pick(troubled))]
    characters.forEach((character, index) => {
      const id = `${character}-${index}`
      destinations.push({ tenant, id, character })
      for (let i = 0; i < (isBrief || character === "steady" ? 1 : chance.between(1, 2)); i++) {
        triggers.push({
          ...planTrigger(chance, { tenant, id: `to-${id}-${i}`, destination: id }),
          stable: character === "steady" || chance.happens(0.5),
        })
      }
    })
    if (its.has("queue")) {
      destinations.push({ tenant, id: queueId, character: "steady", isQueue: true, isForever: chance.happens(0.5) })
      triggers.push({ ...planTrigger(chance, { tenant, id: `to-${queueId}`, destination: queueId }), stable: true })
    }
    for (const id of ["spare-0", "spare-1"]) {
      destinations.push({ tenant, id, character: "steady", comesAndGoes: true, signed: id === "spare-1" })
    }
  }
  const schedules = its.has("schedules") ? planSchedules(chance.fork("schedules"), isBrief) : []
  return { isBrief, parts: its, destinations, triggers, schedules, ...planFaults(chance, isBrief, its) }
}

/** Seeds up to this one live long, so that what takes its time to go wrong is found soon; of those behind it few do. */
export const longSeeds = 40
export const longShare = 0.01

function planFaults(
  chance: SimulatedChance,
  isBrief: boolean,
  its: ReadonlySet<Part>,
): Pick<Scenario, "faultsMs" | "crashes"> {
  if (!isBrief) return { faultsMs: chance.between(8_000, 18_000), crashes: chance.between(0, 5) }
  return { faultsMs: chance.between(500, 2_000), crashes: its.has("crashes") ? chance.between(1, 2) : 0 }
}

function planTrigger(
  chance: SimulatedChance,
  names: Pick<TriggerPlan, "tenant" | "id" | "destination">,
): Omit<TriggerPlan, "stable"> {
  return {
    ...names,
    topic: chance.pick(["orders", "orders", "orders:a", "ticks", "ticks:b"]),
    filters: planFilters(chance),
    retry: planRetry(chance),
    ...planOrdering(chance),
  }
}

function planSchedules(chance: SimulatedChance, isBrief: boolean): readonly SchedulePlan[] {
  return tenants.flatMap((tenant) =>
    (isBrief ? [chance.pick(misseds)] : misseds).map((missed) => {
      const seconds = chance.pick([2, 3, 5, 10])
      const cron = chance.happens(0.5) ? { cron: `*/${seconds} * * * * *` } : {}
      return { tenant, id: `stays-${missed}`, everyMs: seconds * 1_000, ...cron, missed }
    }),
  )
}

export function planFilters(chance: SimulatedChance): readonly Filter[] {
  return chance.pick<readonly Filter[]>([
    [],
    [],
    [{ exact: { type: "order.made" } }],
    [{ prefix: { type: "order." } }, { not: { suffix: { id: "7" } } }],
    [{ any: [{ exact: { type: "stock.low" } }, { prefix: { subject: "1" } }] }],
  ])
}

/** Keys are few, so that there is much to be ordered. */
export function planOrdering(chance: SimulatedChance): { readonly ordering?: Ordering } {
  if (chance.happens(0.5)) return {}
  const by = chance.pick(["type", "subject", "source"])
  return { ordering: { by, deadLetter: chance.pick(["continue", "hold"]) } }
}

export function planRetry(chance: SimulatedChance): RetryPolicy {
  return {
    delaysMs: chance.pick([[200, 1_000, 4_000], [500], [100, 200, 400, 800, 1_600], [3_000, 10_000]]),
    jitter: chance.pick([0, 0.2, 0.5]),
    attemptsMax: chance.between(2, 10),
    ageMaxMs: chance.pick([20_000, 120_000, 600_000]),
  }
}

/** How many events come there at once, if not one by one: those that tell of each are asked to, mostly. */
export function planBatch(chance: SimulatedChance, { character }: DestinationPlan): SimulatedConfig["batch"] {
  const isTelling = character === "telling"
  if (!chance.happens(isTelling ? 0.8 : 0.3)) return undefined
  const outcomes = isTelling || chance.happens(0.3) ? "each" : "all"
  return { eventsMax: chance.pick([2, 5, 20]), waitMs: chance.pick([0, 20, 200]), outcomes }
}

/** Lets an endpoint live by its character, from phase to phase; the answer heals it: from then on it answers, soon and well. */
export function behave(world: World, endpoint: Endpoint, character: Character, chance: SimulatedChance): () => void {
  const steps = phases[character]
  let healed = false
  endpoint.latencyMs = character === "slow" ? [200, 3_000] : [0.2, chance.pick([2, 20])]
  const next = (index: number) => {
    if (healed) return
    const { behaviour, ms } = steps[index % steps.length]!
    endpoint.behaviour = behaviour
    if (steps.length === 1) return
    world.trace.line(`${endpoint.name} now ${JSON.stringify(behaviour)}`)
    world.clock.after(ms * (0.5 + chance.next()), () => next(index + 1))
  }
  next(0)
  return () => {
    healed = true
    endpoint.behaviour = fine
    endpoint.latencyMs = [0.2, 5]
  }
}

const fine: Behaviour = { kind: "answers", status: 204 }
const answers = (status: number, retryAfterMs?: number): Behaviour => ({
  kind: "answers",
  status,
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
})

interface Phase {
  readonly behaviour: Behaviour
  readonly ms: number
}

const phases: Readonly<Record<Character, readonly Phase[]>> = {
  steady: [{ behaviour: fine, ms: 0 }],
  slow: [{ behaviour: fine, ms: 0 }],
  hanging: [
    { behaviour: { kind: "hangs" }, ms: 12_000 },
    { behaviour: fine, ms: 2_000 },
  ],
  failing: [
    { behaviour: answers(503), ms: 15_000 },
    { behaviour: fine, ms: 5_000 },
  ],
  flapping: [
    { behaviour: fine, ms: 800 },
    { behaviour: answers(500), ms: 800 },
    { behaviour: { kind: "loses-answers" }, ms: 800 },
  ],
  resting: [
    { behaviour: fine, ms: 2_000 },
    { behaviour: answers(429, 3_000), ms: 500 },
    { behaviour: fine, ms: 2_000 },
    { behaviour: answers(503, 1_500), ms: 500 },
  ],
  lossy: [
    { behaviour: { kind: "loses-answers" }, ms: 2_000 },
    { behaviour: fine, ms: 2_000 },
  ],
  refusing: [
    { behaviour: fine, ms: 3_000 },
    { behaviour: answers(400), ms: 1_000 },
  ],
  gone: [
    { behaviour: fine, ms: 8_000 },
    { behaviour: answers(410), ms: 1_000 },
  ],
  telling: [
    { behaviour: { kind: "tells" }, ms: 3_000 },
    { behaviour: { kind: "loses-answers" }, ms: 500 },
    { behaviour: answers(413), ms: 500 },
  ],
}
