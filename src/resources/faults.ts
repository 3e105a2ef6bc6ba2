import { type FieldFault, invalidFields } from "./refusal.ts"

/** Wrong fields named in one answer at most. */
const errorsMax = 100
/** Of one field, and what is wrong with it, as much is repeated. */
const charactersMax = 500
/** Where top-level fields that nobody knows are counted: they must not push out what is wrong with known ones. */
const strangers = "?"

/**
 * What is wrong with a body, field by field, gathered before anything is answered. The list is for telling and has an
 * end; whether anything is wrong has none: `count` and `clean` know of faults that the list has no room for.
 */
export interface Faults {
  readonly count: number
  add(field: string, message: string): void
  /** As `add`, for a field of the body that is not known. */
  addStranger(field: string, message: string): void
  /** Whether nothing is wrong at this field or within it, so that more can be asked of it. */
  clean(field: string): boolean
  /** Throws RefusedError where there are any. */
  refuse(): void
}

interface Noted extends FieldFault {
  readonly at: number
}

/** The faults of one top-level field. */
interface Group {
  readonly noted: Noted[]
  /** There were more than are noted. */
  cut: boolean
}

export function createFaults(): Faults {
  const groups = new Map<string, Group>()
  let count = 0
  const note = (name: string, field: string, message: string) => {
    const group = groups.get(name) ?? { noted: [], cut: false }
    groups.set(name, group)
    if (!group.cut && group.noted.some((error) => error.field === field && error.message === message)) return
    count++
    if (group.noted.length < errorsMax) group.noted.push({ field, message, at: count })
    else group.cut = true
  }
  return {
    get count() {
      return count
    },
    add: (field, message) => note(rootOf(field), field, message),
    addStranger: (field, message) => note(strangers, field, message),
    clean(field) {
      const group = groups.get(rootOf(field))
      return group === undefined || (!group.cut && !group.noted.some((error) => isWithin(error.field, field)))
    },
    refuse() {
      if (count > 0) throw invalidFields(told([...groups.values()]), count)
    },
  }
}

/** The first of each field, then the second of each, as long as there is room; in the order they were found. */
function told(groups: readonly Group[]): readonly FieldFault[] {
  const ranked = groups.flatMap(({ noted }) => noted.map((error, rank) => ({ error, rank })))
  return ranked
    .toSorted((a, b) => a.rank - b.rank)
    .slice(0, errorsMax)
    .map(({ error }) => error)
    .toSorted((a, b) => a.at - b.at)
    .map(({ field, message }) => ({ field: shortened(field), message: shortened(message) }))
}

/** As much of a field's path or a message as an answer repeats. */
export function shortened(text: string): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax)}…`
}

/** `filters` of `filters[0].exact`. */
function rootOf(field: string): string {
  return /^[^.[]*/.exec(field)![0]
}

function isWithin(field: string, outer: string): boolean {
  return field === outer || field.startsWith(`${outer}.`) || field.startsWith(`${outer}[`)
}
