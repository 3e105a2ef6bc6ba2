import { createHash } from "node:crypto"

/** An event that is published; all of it follows from its number. */
export interface DamageEvent {
  readonly number: number
  readonly id: string
  readonly source: string
  readonly type: "even" | "odd"
  readonly topic: string
  readonly key: string | undefined
  /** JSON text, or bytes in base64. */
  readonly data: string
  readonly dataKind: "json" | "binary"
}

/** How a trigger's destination answers while a hub is made ready; in a trial all answer 204. */
export type Behaviour = "takes" | "fails" | "refuses"

/** A trigger, with a destination of the same name, which is a path of the receiver. */
export interface DamageTrigger {
  readonly name: string
  readonly topic: string
  /** Whether it takes only every second event. */
  readonly half: boolean
  readonly behaviour: Behaviour
  /** Paused once some of its deliveries are parked: they are held from then on, and its later events wait in the log. */
  readonly paused: boolean
  /** Between its attempts. */
  readonly delay: string
}

/** `trimmed` keeps its newest events only. */
export const topics: readonly string[] = ["orders", "payments", "invoices", "clicks", "trimmed"]
/** As many events as `trimmed` keeps. */
export const trimmedMax = 30

const takes = { behaviour: "takes", paused: false, delay: "1s" } as const

export const triggers: readonly DamageTrigger[] = [
  { name: "ship", topic: "orders", half: false, ...takes },
  { name: "even", topic: "orders", half: true, ...takes },
  { name: "paid", topic: "payments", half: false, ...takes },
  { name: "parked", topic: "payments", half: true, behaviour: "fails", paused: false, delay: "1s" },
  { name: "later", topic: "payments", half: true, behaviour: "fails", paused: false, delay: "12h" },
  { name: "dead", topic: "invoices", half: false, behaviour: "refuses", paused: false, delay: "1s" },
  { name: "held", topic: "clicks", half: false, behaviour: "fails", paused: true, delay: "1s" },
]

/** Numbers from here on are of the other hub, whose files are foreign here. */
export const foreignFrom = 100_000
/** Numbers from here on are published in a trial. */
export const freshFrom = 50_000

const keys = 7
const made = new Map<number, DamageEvent>()

/** Events of 40 bytes to 24 KiB, most of them small, no two with the same data. */
export function eventOf(number: number): DamageEvent {
  const known = made.get(number)
  if (known !== undefined) return known
  const digest = createHash("sha256").update(String(number)).digest()
  const round = Math.floor(number / topics.length)
  const topic = topics[number % topics.length]!
  const isBinary = digest[0]! % 8 === 0
  const bytes = Math.round(30 * 2 ** ((digest[1]! / 255) * 9.6))
  const noise = createHash("shake256", { outputLength: bytes }).update(`data ${number}`).digest("base64")
  const event: DamageEvent = {
    number,
    id: `d${number}`,
    source: number >= foreignFrom ? "/foreign" : `/damage/${number % 3}`,
    type: round % 2 === 0 ? "even" : "odd",
    topic,
    key: topic === "orders" ? `k${digest[2]! % keys}` : undefined,
    data: isBinary ? noise : JSON.stringify({ number, noise }),
    dataKind: isBinary ? "binary" : "json",
  }
  made.set(number, event)
  return event
}

/** The event of this id; undefined where none can have it. */
export function eventOfId(id: string): DamageEvent | undefined {
  return /^d\d{1,6}$/.test(id) ? eventOf(Number(id.slice(1))) : undefined
}

/** The triggers that have to fire for it. */
export function triggersOf({ topic, type }: DamageEvent): readonly DamageTrigger[] {
  return triggers.filter((trigger) => trigger.topic === topic && (!trigger.half || type === "even"))
}

/** As structured JSON. */
export function bodyOf({ id, source, type, data, dataKind }: DamageEvent): string {
  const fixed = JSON.stringify({ specversion: "1.0", id, source, type }).slice(0, -1)
  return dataKind === "json"
    ? `${fixed},"datacontenttype":"application/json","data":${data}}`
    : `${fixed},"datacontenttype":"application/octet-stream","data_base64":"${data}"}`
}

/** An event as the hub reads it out. */
export interface Read {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly redcarcursor: string
  readonly data?: unknown
  readonly data_base64?: string
}

/** Whether what was read of the log is what was published. */
export function isAsPublished(event: DamageEvent, read: Read): boolean {
  const data = event.dataKind === "json" ? JSON.stringify(read.data) : read.data_base64
  return read.source === event.source && read.type === event.type && data === event.data
}

/** The body of its delivery, in the binary mode. */
export function deliveredBody({ data, dataKind }: DamageEvent): Buffer {
  return Buffer.from(data, dataKind === "json" ? "utf8" : "base64")
}
