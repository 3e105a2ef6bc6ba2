import { formatCursor, usedPlaces } from "./cursor.ts"
import type { Damage } from "./reader.ts"
import type { Hole } from "./replay.ts"

const damagesMax = 1_000

/** What is known to be wrong with a log: each stretch once, and those as one that meet. */
export class LogHealth {
  readonly #damages: Damage[] = []
  readonly #notes: string[] = []
  #isMore = false

  /** Whether it was known already, is more of what was, or is news. */
  add(damage: Damage): "known" | "more" | "new" {
    if (this.#damages.some((other) => other.position <= damage.position && endOf(other) >= endOf(damage)))
      return "known"
    const met = this.#damages.findIndex((other) => meets(other, damage))
    if (met >= 0) {
      this.#damages[met] = joined(this.#damages[met]!, damage)
      return "more"
    }
    this.#isMore ||= this.#damages.length >= damagesMax
    if (this.#isMore) return "known"
    this.#damages.push(damage)
    return "new"
  }

  note(line: string): void {
    this.#notes.push(line)
  }

  get damages(): readonly Damage[] {
    return this.#damages
  }

  /** What the stretches hold together, those of one kind; places that were left out hold nothing. */
  bytes(of: (damage: Damage) => boolean): number {
    return this.#damages.filter(of).reduce((sum, damage) => sum + usedPlaces(damage), 0)
  }

  /** Whether something was, or may have been, at this place. */
  covers(position: number): boolean {
    return this.#damages.some((damage) => position >= damage.position && position < endOf(damage))
  }

  /** One line each, for people. */
  lines(): readonly string[] {
    const more = this.#isMore ? ["damaged: more than can be told; `redcar doctor --audit` reads it all"] : []
    return [...this.#damages.map(damageLine), ...more, ...this.#notes]
  }
}

function meets(a: Damage, b: Damage): boolean {
  return a.kind === b.kind && a.segment === b.segment && a.position <= endOf(b) && b.position <= endOf(a)
}

function joined(a: Damage, b: Damage): Damage {
  const first = a.position <= b.position ? a : b
  const isUnindexed = (a.isUnindexed ?? b.isUnindexed) && { isUnindexed: true as const }
  return { ...first, ...isUnindexed, to: first.from + Math.max(endOf(a), endOf(b)) - first.position }
}

/** Where a stretch ends, as a place of the log. */
export function endOf({ position, from, to }: Damage): number {
  return position + to - from
}

/** What is said to be missing: a file, or several. */
function filesOf(segment: string): string {
  if (segment === "segments") return "the first files of log/"
  return segment.startsWith("segments ") ? `files of log/ ${segment.slice("segments ".length)}` : `log/${segment}`
}

/** What was lost, and a copy has brought back; for people. */
export function foundLine(damage: Damage): string {
  const { segment, position } = damage
  const cursors = `(cursors ${formatCursor(position)} to ${formatCursor(endOf(damage))})`
  return `found again: ${filesOf(segment)} ${cursors}; the state is made anew with what is in it`
}

/** Where a log has been brought back instead of one that had begun anew; for people. */
export function olderLine(place: number): string {
  return `log/ is as it was before cursor ${formatCursor(place)}; resources that were changed since are as they were then`
}

/** What the hub cannot know any more of its own changes, for people. */
export function holeLine({ from, to, isBeginning }: Hole): string {
  if (isBeginning)
    return `the hub's own records before cursor ${formatCursor(to)} are lost: triggers, destinations, keys and topics made before then are missing; make them again. Topics that have events are there, with the defaults`
  return `the hub's own records between cursors ${formatCursor(from)} and ${formatCursor(to)} are damaged: changes of resources, and of deliveries, that were made then may be as they were before`
}

/** What a stretch of damage is, for people: the file, the bytes, and the cursors that lie in it. */
export function damageLine(damage: Damage): string {
  const { kind, segment, from, to, position } = damage
  const cursors = `(cursors ${formatCursor(position)} to ${formatCursor(endOf(damage))})`
  if (damage.isUnsure)
    return `missing: ${filesOf(segment)} ${cursors}, unless the hub died, or its disk was full, just when the one before it was full; the events that were in it are lost unless a copy brings it back`
  if (kind === "missing")
    return `missing: ${filesOf(segment)} ${cursors}; the events that were in it are lost unless a copy brings it back`
  if (kind === "unfinished") {
    return `damaged: log/${segment}, bytes ${from} to ${to} ${cursors}; they were never finished writing, or are damaged since`
  }
  return `damaged: log/${segment}, bytes ${from} to ${to} ${cursors}; the events in them cannot be read`
}
