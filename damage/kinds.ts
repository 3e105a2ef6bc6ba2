import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { SimulatedChance } from "../src/testing/chance.ts"
import * as change from "./bytes.ts"

/** What damage is done to. */
export interface Place {
  /** A hub's folder: `log/`, `state/`. */
  readonly folder: string
  /** The same hub's, of an earlier time. */
  readonly early: string
  /** Another hub's. */
  readonly foreign: string
  /** The places of records that are known, in order. */
  readonly positions: readonly number[]
  readonly chance: SimulatedChance
}

/** Does the damage; says what it did, undefined where it cannot be done to this folder. */
export type Inflict = (place: Place) => string | undefined

export interface Kind {
  readonly name: string
  readonly about: string
  readonly inflict: Inflict
  /** Comes with no other damage: what is left beside it is all that can tell of it. */
  readonly alone?: true
  /** All that it takes is named, though nothing but the log that is left can tell of it. */
  readonly isTold?: true
  /** The hub runs as a user that may not write here. */
  readonly readOnly?: true
}

const suffix = ".segment"

function segmentsIn(folder: string): readonly string[] {
  const log = join(folder, "log")
  return existsSync(log)
    ? readdirSync(log)
        .filter((name) => name.endsWith(suffix))
        .sort()
    : []
}

function baseOf(segment: string): number {
  return Number.parseInt(segment.slice(0, -suffix.length), 36)
}

function inSegment(how: change.Change): Inflict {
  return ({ folder, chance }) => {
    const segments = segmentsIn(folder)
    if (segments.length === 0) return undefined
    const name = chance.pick(segments)
    return `log/${name}: ${change.changeFile(join(folder, "log", name), how, chance)}`
  }
}

/** A bit within the first bytes of a record, or of one of the last records. */
function inRecord(pick: (positions: readonly number[], chance: SimulatedChance) => number, bytes: number): Inflict {
  return ({ folder, chance, positions }) => {
    const position = pick(positions, chance)
    const name = segmentsIn(folder).findLast((segment) => baseOf(segment) <= position)
    if (name === undefined) return undefined
    const at = position - baseOf(name) + chance.between(0, bytes - 1)
    const path = join(folder, "log", name)
    const content = readFileSync(path)
    if (at >= content.length) return undefined
    const what = change.flipBit(content, at, chance)
    writeFileSync(path, content)
    return `log/${name}: ${what}, in the record at ${position - baseOf(name)}`
  }
}

const deleteSegment: Inflict = ({ folder, chance }) => {
  const segments = segmentsIn(folder)
  if (segments.length === 0) return undefined
  const name = chance.pick([segments[0]!, segments.at(-1)!, chance.pick(segments)])
  rmSync(join(folder, "log", name))
  return `log/${name} deleted, of ${segments.length}`
}

/** Deletes a segment, and the state, which would know what was in it. */
function deleteWithState(pick: (segments: readonly string[]) => string): Inflict {
  return ({ folder }) => {
    const segments = segmentsIn(folder)
    if (segments.length < 2) return undefined
    const name = pick(segments)
    rmSync(join(folder, "log", name))
    rmSync(join(folder, "state"), { recursive: true, force: true })
    return `log/${name} deleted, of ${segments.length}, and state/`
  }
}

const exchangeSegments: Inflict = ({ folder, chance }) => {
  const segments = segmentsIn(folder)
  if (segments.length < 2) return undefined
  const a = chance.pick(segments)
  const b = chance.pick(segments.filter((name) => name !== a))
  const path = (name: string) => join(folder, "log", name)
  renameSync(path(a), path("held"))
  renameSync(path(b), path(a))
  renameSync(path("held"), path(b))
  return `log/${a} and log/${b} exchanged`
}

function replacedFrom(other: "early" | "foreign"): Inflict {
  return ({ folder, chance, ...places }) => {
    const sources = segmentsIn(places[other])
    const targets = segmentsIn(folder).filter((name) => other === "foreign" || sources.includes(name))
    if (targets.length === 0 || sources.length === 0) return undefined
    const name = chance.pick(targets)
    const source = other === "early" ? name : chance.pick(sources)
    cpSync(join(places[other], "log", source), join(folder, "log", name))
    return `log/${name} replaced by ${other === "early" ? "what it was earlier" : `another hub's ${source}`}`
  }
}

const renameSegment: Inflict = ({ folder, chance }) => {
  const segments = segmentsIn(folder)
  if (segments.length === 0) return undefined
  const name = chance.pick(segments)
  const to = `${(baseOf(name) + 8 * chance.between(-1_000, 1_000)).toString(36).replace("-", "").padStart(11, "0")}${suffix}`
  if (segments.includes(to)) return undefined
  renameSync(join(folder, "log", name), join(folder, "log", to))
  return `log/${name} renamed to ${to}`
}

const foreignFile: Inflict = ({ folder, chance, foreign }) => {
  const segment = segmentsIn(foreign).at(-1)
  if (segment !== undefined && chance.happens(0.1)) {
    cpSync(join(foreign, "log", segment), join(folder, "log", "zz.segment"))
    return "another hub's segment added as log/zz.segment"
  }
  const name = chance.pick(["foo.segment", "x.txt", ".DS_Store", "lost+found", "0000000zzzz.segment.bak", "core"])
  const part = chance.pick(["log", "state", "."])
  const path = join(folder, part, name)
  if (name === "lost+found") mkdirSync(path)
  else writeFileSync(path, "not of the hub\n".repeat(chance.between(0, 1_000)))
  return `a foreign ${part}/${name} added`
}

const deleteLog: Inflict = ({ folder, chance }) => {
  const whole = chance.happens(0.5)
  rmSync(join(folder, "log"), { recursive: true, force: true })
  if (!whole) mkdirSync(join(folder, "log"))
  return whole ? "log/ deleted" : "log/ emptied"
}

const damagedSpare: Inflict = ({ folder, chance }) => {
  const path = join(folder, "log", "spare")
  if (!existsSync(path)) return undefined
  return `log/spare: ${change.changeFile(path, chance.pick([change.noise, change.truncated, change.extended]), chance)}`
}

function inState(how: change.Change): Inflict {
  return ({ folder, chance }) => {
    const path = join(folder, "state", "data.mdb")
    return existsSync(path) ? `state/data.mdb: ${change.changeFile(path, how, chance)}` : undefined
  }
}

const deleteState: Inflict = ({ folder, chance }) => {
  const [path, how] = [
    join(folder, "state"),
    chance.pick(["deleted", "emptied", "without data.mdb", "without lock.mdb"]),
  ]
  if (how.startsWith("without ")) rmSync(join(path, how.slice("without ".length)), { force: true })
  else rmSync(path, { recursive: true, force: true })
  if (how === "emptied") mkdirSync(path)
  return `state/ ${how}`
}

const garbledLock: Inflict = ({ folder, chance }) => {
  const path = join(folder, "state", "lock.mdb")
  return existsSync(path) ? `state/lock.mdb: ${change.changeFile(path, change.noise, chance)}` : undefined
}

function stale(part: "log" | "state", from: "early" | "foreign"): Inflict {
  return ({ folder, ...places }) => {
    rmSync(join(folder, part), { recursive: true, force: true })
    cpSync(join(places[from], part), join(folder, part), { recursive: true })
    return `${part}/ ${from === "early" ? "of an earlier time" : "of another hub"}`
  }
}

const anyRecord = (positions: readonly number[], chance: SimulatedChance) => chance.pick(positions)
const lateRecord = (positions: readonly number[], chance: SimulatedChance) => chance.pick(positions.slice(-12))

/** Every kind of damage, by name. */
export const kinds: readonly Kind[] = [
  { name: "none", about: "nothing at all", inflict: () => "nothing" },
  { name: "log-bit", about: "one bit of a segment", inflict: inSegment(change.bit) },
  { name: "log-bits", about: "several bits of a segment", inflict: inSegment(change.bits) },
  { name: "log-file-head", about: "a bit in a segment's first 64 bytes", inflict: inSegment(change.fileHead) },
  { name: "log-record-head", about: "a bit in a record's head", inflict: inRecord(anyRecord, 40) },
  { name: "log-record", about: "a bit in a record's first 200 bytes", inflict: inRecord(anyRecord, 200) },
  { name: "log-tail", about: "a bit in one of the last records", inflict: inRecord(lateRecord, 80) },
  { name: "log-noise", about: "a stretch of a segment overwritten", inflict: inSegment(change.noise) },
  { name: "log-zero-pages", about: "pages of a segment zeroed", inflict: inSegment(change.zeroPages) },
  { name: "log-swap-pages", about: "two pages of a segment exchanged", inflict: inSegment(change.swapPages) },
  { name: "log-duplicate-page", about: "a page written over another", inflict: inSegment(change.duplicatePage) },
  { name: "log-truncate", about: "a segment cut", inflict: inSegment(change.truncated) },
  { name: "log-extend", about: "bytes appended to a segment", inflict: inSegment(change.extended) },
  { name: "log-delete-segment", about: "a segment deleted", inflict: deleteSegment },
  {
    name: "log-oldest-and-state",
    about: "the oldest segment and the state deleted",
    inflict: deleteWithState((all) => all[0]!),
    alone: true,
    isTold: true,
  },
  {
    name: "log-newest-and-state",
    about: "the newest segment and the state deleted",
    inflict: deleteWithState((all) => all.at(-1)!),
    alone: true,
    isTold: true,
  },
  { name: "log-exchange", about: "two segments exchanged", inflict: exchangeSegments },
  { name: "log-older-segment", about: "a segment as it was earlier", inflict: replacedFrom("early") },
  { name: "log-foreign-segment", about: "another hub's segment", inflict: replacedFrom("foreign") },
  { name: "log-rename", about: "a segment under another name", inflict: renameSegment },
  { name: "log-delete", about: "the whole log deleted", inflict: deleteLog, alone: true },
  { name: "log-spare", about: "the spare file damaged", inflict: damagedSpare },
  { name: "log-stale", about: "the log of an earlier time", inflict: stale("log", "early"), alone: true },
  { name: "log-foreign", about: "the log of another hub", inflict: stale("log", "foreign"), alone: true },
  { name: "foreign-file", about: "a file that is not the hub's", inflict: foreignFile },
  { name: "state-delete", about: "the state, or one of its files, deleted", inflict: deleteState },
  { name: "state-bit", about: "one bit of the state", inflict: inState(change.bit) },
  { name: "state-bits", about: "several bits of the state", inflict: inState(change.bits) },
  { name: "state-file-head", about: "a bit in the state's first 64 bytes", inflict: inState(change.fileHead) },
  { name: "state-noise", about: "a stretch of the state overwritten", inflict: inState(change.noise) },
  { name: "state-zero-pages", about: "pages of the state zeroed", inflict: inState(change.zeroPages) },
  { name: "state-swap-pages", about: "two pages of the state exchanged", inflict: inState(change.swapPages) },
  { name: "state-duplicate-page", about: "a page written over another", inflict: inState(change.duplicatePage) },
  { name: "state-truncate", about: "the state cut", inflict: inState(change.truncated) },
  { name: "state-extend", about: "bytes appended to the state", inflict: inState(change.extended) },
  { name: "state-lock", about: "the state's lock file overwritten", inflict: garbledLock },
  { name: "state-stale", about: "the state of an earlier time", inflict: stale("state", "early") },
  { name: "state-foreign", about: "the state of another hub", inflict: stale("state", "foreign"), alone: true },
  {
    name: "read-only",
    about: "a folder that may not be written",
    inflict: () => "not writable",
    alone: true,
    readOnly: true,
  },
]
