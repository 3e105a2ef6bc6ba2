/** A trigger of the load, with a destination of the same name, which is a path of the receiver. */
export interface LoadTrigger {
  readonly name: string
  readonly topic: string
  /** Whether its filter takes only every second event of the topic. */
  readonly half: boolean
}

/** One event of the load; all of it follows from its number. */
export interface LoadEvent {
  readonly id: string
  readonly source: string
  readonly type: "load.even" | "load.odd"
  readonly topic: string
  readonly number: number
}

export const topics: readonly string[] = ["orders", "payments", "clicks", "logins", "parcels", "readings"]

export const triggers: readonly LoadTrigger[] = [
  ...topics.map((topic) => ({ name: `all-${topic}`, topic, half: false })),
  ...topics.slice(0, 2).map((topic) => ({ name: `half-${topic}`, topic, half: true })),
]

/** The filter of the triggers that take half. */
export const halfFilter = { exact: { type: "load.even" } } as const

const sources = 4

export function eventOf(number: number): LoadEvent {
  const round = Math.floor(number / topics.length)
  return {
    id: `e${number}`,
    source: `/faults/${number % sources}`,
    type: round % 2 === 0 ? "load.even" : "load.odd",
    topic: topics[number % topics.length]!,
    number,
  }
}

/** The triggers that have to fire for it. */
export function triggersOf({ topic, type }: LoadEvent): readonly LoadTrigger[] {
  return triggers.filter((trigger) => trigger.topic === topic && (!trigger.half || type === "load.even"))
}

const padding = "x".repeat(150)

/** As structured JSON. */
export function bodyOf({ id, source, type, number }: LoadEvent): string {
  return JSON.stringify({ specversion: "1.0", id, source, type, data: { number, padding } })
}

/** Whether what was read of the log is what was published. */
export function isWhole(event: LoadEvent, read: { readonly type?: unknown; readonly data?: unknown }): boolean {
  const data = read.data as { readonly number?: unknown; readonly padding?: unknown } | undefined
  return read.type === event.type && data?.number === event.number && data.padding === padding
}
