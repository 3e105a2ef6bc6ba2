import { formatCursor } from "./cursor.ts"
import type { Damage } from "./reader.ts"

const damagesMax = 1_000

/** What is known to be wrong with a log: each stretch once. */
export class LogHealth {
  readonly #damages: Damage[] = []
  readonly #notes: string[] = []
  readonly #known = new Set<string>()
  #more = 0

  /** Whether it is news. */
  damaged(damage: Damage): boolean {
    const name = `${damage.kind} ${damage.position}`
    if (this.#known.has(name)) return false
    if (this.#damages.length >= damagesMax) {
      this.#more++
      return false
    }
    this.#known.add(name)
    this.#damages.push(damage)
    return true
  }

  note(line: string): void {
    this.#notes.push(line)
  }

  get damages(): readonly Damage[] {
    return this.#damages
  }

  /** What the stretches hold together, those of one kind. */
  bytes(of: (damage: Damage) => boolean): number {
    return this.#damages.filter(of).reduce((sum, { from, to }) => sum + to - from, 0)
  }

  /** Whether something was, or may have been, at this place. */
  covers(position: number): boolean {
    return this.#damages.some((damage) => position >= damage.position && position < endOf(damage))
  }

  /** One line each, for people. */
  lines(): readonly string[] {
    const more = this.#more === 0 ? [] : [`and ${this.#more} more damaged stretches`]
    return [...this.#damages.map(damageLine), ...more, ...this.#notes]
  }
}

function endOf({ position, from, to }: Damage): number {
  return position + to - from
}

/** What a stretch of damage is, for people: the file, the bytes, and the cursors that lie in it. */
export function damageLine(damage: Damage): string {
  const { kind, segment, from, to, position } = damage
  const cursors = `(cursors ${formatCursor(position)} to ${formatCursor(endOf(damage))})`
  if (kind === "missing")
    return `missing: log/${segment} ${cursors}; the events that were in it are lost unless a copy brings it back`
  if (kind === "unfinished") {
    return `damaged: log/${segment}, bytes ${from} to ${to} ${cursors}; they were never finished writing, or are damaged since`
  }
  return `damaged: log/${segment}, bytes ${from} to ${to} ${cursors}; the events in them cannot be read`
}
