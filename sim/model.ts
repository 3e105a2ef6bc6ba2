import { isDeepStrictEqual } from "node:util"

export type ResourceName = "topic" | "trigger" | "destination" | "schedule" | "subscription"

/** Members of a resource, as the API shows them. */
export type Fields = Readonly<Record<string, unknown>>

/** A state that a resource may have, and while it may. Undefined: it is not there. */
export interface Span {
  readonly fields: Fields | undefined
  readonly from: number
  until: number
}

/**
 * One resource as it is known from outside: exactly, or as one of several states where an answer was lost. Changes of one
 * resource are made one after another; what has become of a change is told to whoever made it.
 */
export class ResourceModel {
  readonly name: ResourceName
  readonly tenant: string
  readonly id: string
  /** All that it ever may have been. */
  readonly spans: Span[]
  /** What it becomes by itself, at any time at which it is not there. */
  readonly #byItself: Fields | undefined
  #possible: readonly Span[]
  #pending: ((shown: Fields | undefined) => void) | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: { name: ResourceName; tenant: string; id: string; now: number; byItself?: Fields }) {
    this.name = options.name
    this.tenant = options.tenant
    this.id = options.id
    this.#byItself = options.byItself
    this.spans = []
    this.#possible = []
    this.#set([this.#begin(undefined, options.now)], options.now)
  }

  /** What it may be now. */
  get possible(): readonly (Fields | undefined)[] {
    return this.#possible.map(({ fields }) => fields)
  }

  get mayBeThere(): boolean {
    return this.possible.some((fields) => fields !== undefined)
  }

  get isSurelyThere(): boolean {
    return this.possible.every((fields) => fields !== undefined)
  }

  /** Whether it is not known what became of the last change. */
  get isUnclear(): boolean {
    return this.#pending !== undefined
  }

  /** Its name, for people and maps. */
  get path(): string {
    return `${this.name}/${this.tenant}/${this.id}`
  }

  /** One after another. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  /** A change is asked for: from now on it may be any of these too. */
  mayBecome(states: readonly (Fields | undefined)[], now: number): void {
    this.#set([...this.#possible, ...states.map((fields) => this.#begin(fields, now))], now)
  }

  /** It is one of these: the others were, or never came to be. */
  becomes(states: readonly (Fields | undefined)[], now: number): void {
    this.#pending = undefined
    this.#set(
      this.#possible.filter(({ fields }) => states.includes(fields)),
      now,
    )
  }

  /** What was asked for may have been done or not; `settle` is told what it is, once that is seen. */
  unclear(settle: (shown: Fields | undefined) => void): void {
    this.#pending = settle
  }

  /** It was seen. False where it could not be so. */
  seen(shown: Fields | undefined, now: number): boolean {
    const so = this.#possible.filter(({ fields }) => shows(fields, shown))
    if (so.length === 0) return false
    const settle = this.#pending
    this.#pending = undefined
    this.#set(so, now)
    settle?.(shown)
    return true
  }

  #begin(fields: Fields | undefined, now: number): Span {
    const span = { fields, from: now, until: Number.POSITIVE_INFINITY }
    this.spans.push(span)
    return span
  }

  #set(possible: readonly Span[], now: number): void {
    const made = this.#byItself
    const absent = possible.some(({ fields }) => fields === undefined)
    const needsMaking = made !== undefined && absent && !possible.some(({ fields }) => fields === made)
    for (const span of this.#possible) if (!possible.includes(span)) span.until = now
    this.#possible = needsMaking ? [...possible, this.#begin(made, now)] : possible
  }
}

/** Whether a resource that was made with these members may be shown so; undefined: that it is not there. */
export function shows(fields: Fields | undefined, shown: Fields | undefined): boolean {
  if (fields === undefined || shown === undefined) return fields === shown
  return Object.entries(fields).every(([name, value]) => {
    // The hub itself pauses triggers too, where a destination is gone.
    if (name === "paused" && value === false && shown.paused === true)
      return / is gone: /.test(String(shown.pauseReason))
    return isDeepStrictEqual(shown[name], value)
  })
}
