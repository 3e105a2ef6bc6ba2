import type { Clock } from "../core/clock.ts"
import type { Logger } from "../core/logger.ts"
import type { Topic } from "../core/resources.ts"
import { Conditions } from "../core/troubles.ts"
import type { Held } from "./needed.ts"

/** What topics hold beyond their limits because somebody is owed it. */
export interface KeptFigures {
  readonly topics: number
  readonly events: number
}

/** What is kept for so long is told: until then it is only on its way. */
const tellAfterMs = 600_000

interface Kept {
  readonly since: number
  readonly topic: string
  events: number
  held: Held
  round: number
}

/** The topics that hold more than they are to, because somebody is owed it: told once where that lasts. */
export class KeptTopics {
  readonly #clock: Clock
  readonly #conditions: Conditions
  /** By topic's path. */
  readonly #kept = new Map<string, Kept>()
  #round = 0

  constructor({ clock, log }: { readonly clock: Clock; readonly log: Logger }) {
    this.#clock = clock
    this.#conditions = new Conditions(log)
  }

  /** So many events of the topic were over and stayed. */
  seen({ tenant, id }: Topic, events: number, held: Held | undefined): void {
    const path = `${tenant}/${id}`
    if (events === 0 || held === undefined) return void this.#kept.delete(path)
    const known = this.#kept.get(path) ?? { since: this.#clock.steady(), topic: path, events, held, round: 0 }
    this.#kept.set(path, Object.assign(known, { events, held, round: this.#round }))
  }

  /** Every topic was seen; what was not is gone. */
  roundEnds(): void {
    for (const [path, { round }] of this.#kept) if (round < this.#round) this.#kept.delete(path)
    this.#round++
    const lasting = [...this.#kept.values()].filter(({ since }) => this.#clock.steady() - since >= tellAfterMs)
    this.#conditions.see(lasting.map(conditionOf))
  }

  /** Another process does the rounds. */
  forget(): void {
    this.#kept.clear()
  }

  figures(): KeptFigures {
    let events = 0
    for (const kept of this.#kept.values()) events += kept.events
    return { topics: this.#kept.size, events }
  }
}

function conditionOf({ topic, events, held: { kind, id, trigger } }: Kept) {
  const who = kind === "trigger" ? `trigger ${id}` : `${nouns[kind]} ${id} of trigger ${trigger}`
  const line =
    `topic ${topic} keeps ${events} events beyond its limits: ${who} is owed the oldest; see to it, or let them go ` +
    "(dropUndelivered of the topic's retention)"
  return { key: topic, line, over: `topic ${topic} keeps no more than its limits say` }
}

const nouns = { delivery: "delivery", deadLetter: "dead letter", replay: "replay" }
