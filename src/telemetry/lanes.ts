import type { LaneBacklog, LaneWork } from "../core/figures.ts"
import { type Figure, otherLabel, seriesMax } from "./instruments.ts"
import type { Metrics } from "./metrics.ts"

export interface LaneSources {
  backlog(): readonly LaneBacklog[]
  work(): readonly LaneWork[]
  /** Unix milliseconds. */
  now(): number
}

/** A lane on the page. */
interface Shown {
  readonly tenant: string
  readonly destination: string
  readonly open: number
  readonly inFlight: number
  readonly breaker: number
  readonly oldestDueAt: number | undefined
}

const labels = ["tenant", "destination"]
const breakerStates: Readonly<Record<LaneWork["breaker"], number>> = { closed: 0, "half-open": 1, open: 2 }

/** Adds what each destination is owed, and how it fares; beyond so many destinations those that are owed least are shown together. */
export function watchLanes(metrics: Metrics, sources: LaneSources): void {
  const gauges = [
    { name: "redcar_deliveries_open", help: "Deliveries that are neither done nor dead.", labels },
    {
      name: "redcar_deliveries_oldest_age_seconds",
      help: "How long ago the delivery of the oldest event among them first became due.",
      labels,
    },
    { name: "redcar_deliveries_in_flight", help: "Deliveries that are leased: being sent, or about to be.", labels },
    { name: "redcar_breaker_state", help: "A destination's breaker: 0 closed, 1 half-open, 2 open.", labels },
  ]
  metrics.watch(gauges, () => {
    const shown = shownLanes(sources)
    const now = sources.now()
    const of = (read: (lane: Shown) => number | undefined): readonly Figure[] =>
      shown.flatMap((lane) => {
        const value = read(lane)
        return value === undefined ? [] : [{ value, labels: [lane.tenant, lane.destination] }]
      })
    return [
      of(({ open }) => open),
      of(({ oldestDueAt }) => oldestDueAt && Math.max(0, now - oldestDueAt) / 1_000),
      of(({ inFlight }) => inFlight),
      of(({ breaker }) => breaker),
    ]
  })
}

function shownLanes({ backlog, work }: LaneSources): readonly Shown[] {
  const lanes = new Map<string, { owed?: LaneBacklog; work?: LaneWork }>()
  for (const owed of backlog()) lanes.set(`${owed.tenant}/${owed.destination}`, { owed })
  for (const one of work()) {
    const name = `${one.tenant}/${one.destination}`
    lanes.set(name, { ...lanes.get(name), work: one })
  }
  const all = [...lanes.values()].sort((a, b) => (b.owed?.open ?? 0) - (a.owed?.open ?? 0))
  const apart = all.slice(0, all.length > seriesMax ? seriesMax - 1 : seriesMax)
  const rest = all.slice(apart.length)
  const shown = apart.map(({ owed, work }) => ({
    ...(owed ?? work!),
    open: owed?.open ?? 0,
    inFlight: work?.inFlight ?? 0,
    breaker: breakerStates[work?.breaker ?? "closed"],
    oldestDueAt: owed?.oldestDueAt(),
  }))
  return rest.length === 0 ? shown : [...shown, together(rest)]
}

/** Sums, and the worst state; whose event is oldest would have to be asked for each. */
function together(lanes: readonly { readonly owed?: LaneBacklog; readonly work?: LaneWork }[]): Shown {
  const sum = (read: (lane: (typeof lanes)[number]) => number | undefined) =>
    lanes.reduce((total, lane) => total + (read(lane) ?? 0), 0)
  return {
    tenant: otherLabel,
    destination: otherLabel,
    open: sum(({ owed }) => owed?.open),
    inFlight: sum(({ work }) => work?.inFlight),
    breaker: lanes.reduce((worst, { work }) => Math.max(worst, breakerStates[work?.breaker ?? "closed"]), 0),
    oldestDueAt: undefined,
  }
}
