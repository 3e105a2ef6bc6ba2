import type { Clock } from "../core/clock.ts"
import type { Cursor } from "../core/cursor.ts"
import type { Engine } from "../core/engine.ts"
import type { StoredEvent } from "../core/log.ts"
import { createPace, turnSteps } from "../core/pace.ts"
import type { RetentionRule, Topic } from "../core/resources.ts"
import { compileFilters, EventView, inTurns } from "../filters/index.ts"
import type { Held } from "./needed.ts"
import { type Part, Parts } from "./parts.ts"

/** Events that are read for one rule at a time; the rest is left to the next round. */
export const lookedAtMax = 1_000_000

/** How far a rule has come in a topic: one that begins anew comes to the same, and reads the topic once more. */
export class RuleProgress {
  /** Nothing up to here is over. */
  from: Cursor
  /** What was counted, for a rule that says how much may be there. */
  readonly parts = new Parts()

  constructor(from: Cursor) {
    this.from = from
  }
}

/** What of a topic is over by one rule. */
export interface RuleOverdue {
  readonly goes: Some
  /** What is over as well, as far as that was looked at, and stays because somebody is owed it or what is before it. */
  readonly stays: Some
  readonly held?: Held
  /** All was looked at; if not, more may be over. */
  readonly isWhole: boolean
}

export interface Some {
  events: number
  /** Of attributes and data. */
  bytes: number
  oldestAt?: number
  newestAt?: number
}

export interface RuleOptions {
  readonly topic: Topic
  readonly rule: RetentionRule
  readonly progress: RuleProgress
  /** What is behind it is left alone. */
  readonly until: Cursor
  /** The oldest need of the topic's events up to there; asked once something is over. */
  needs(): Promise<Held | undefined>
  /** Of a dry run: nothing goes, and what earlier rules have go counts as gone. Those that would go are added. */
  readonly tried?: Set<Cursor>
}

export type RuleContext = Pick<Engine, "log"> & { readonly clock: Clock }

/** Drops what of a topic is over by a rule; in a dry run only says what that is. Throws what the engine throws. */
export function applyRule(context: RuleContext, options: RuleOptions): Promise<RuleOverdue> {
  return new Pass(context, options).run()
}

/** One look at a topic by one rule. */
class Pass {
  readonly #context: RuleContext
  readonly #options: RuleOptions
  readonly #address: { readonly tenant: string; readonly topic: string }
  readonly #passes: ReturnType<typeof compileFilters>
  readonly #pace: () => Promise<void>
  readonly #oldest: number
  readonly #goes: Some = { events: 0, bytes: 0 }
  readonly #stays: Some = { events: 0, bytes: 0 }
  /** What matches and is there, from the place on that was come to. */
  readonly #left = { events: 0, bytes: 0 }
  #looked = 0
  #held: Held | undefined
  #isAsked = false
  #isWhole = true

  constructor(context: RuleContext, options: RuleOptions) {
    const { topic, rule } = options
    this.#context = context
    this.#options = options
    this.#address = { tenant: topic.tenant, topic: topic.id }
    this.#passes = compileFilters(rule.filters)
    this.#pace = createPace(context.clock)
    this.#oldest = rule.ageMaxMs === undefined ? Number.NEGATIVE_INFINITY : context.clock.now() - rule.ageMaxMs
  }

  async run(): Promise<RuleOverdue> {
    const { progress, until } = this.#options
    for (const part of await this.#stretches(until)) {
      if (part.events !== undefined) {
        this.#left.events = progress.parts.after(part).events
        this.#left.bytes = progress.parts.after(part).bytes
      }
      if (!(await this.#walk(part))) break
    }
    return {
      goes: this.#goes,
      stays: this.#stays,
      ...(this.#held && { held: this.#held }),
      isWhole: this.#isWhole,
    }
  }

  /** What to go through: what was counted, where that matters. */
  async #stretches(head: Cursor): Promise<readonly Stretch[]> {
    const { rule, progress } = this.#options
    if (rule.eventsMax === undefined && rule.bytesMax === undefined) return [{ after: progress.from, upTo: head }]
    if (!(await this.#recount()) || !(await this.#countOn(head))) this.#isWhole = false
    return progress.parts.isSure ? [...progress.parts.list] : []
  }

  /** Counts anew where something went since; answers whether all parts are right. */
  async #recount(): Promise<boolean> {
    const { log } = this.#context
    const { parts } = this.#options.progress
    if (parts.list.length === 0) return true
    parts.isSure = await this.#isAsCounted()
    for (const part of parts.isSure ? [] : parts.list) {
      const { events } = await log.stats(this.#address, part.after, part.upTo)
      if (events === part.all) continue
      if (this.#looked >= lookedAtMax) return false
      Object.assign(part, { all: 0, events: 0, bytes: 0 })
      for await (const event of this.#read(part.after, part.upTo)) await this.#count(part, event)
    }
    parts.isSure = true
    return true
  }

  /** Counts what came since; answers whether that was all. */
  async #countOn(head: Cursor): Promise<boolean> {
    const { log } = this.#context
    const { parts, from } = this.#options.progress
    // Ends: each turn comes further, up to the head.
    for (;;) {
      const after = parts.list.at(-1)?.upTo ?? from
      if (log.compare(after, head) >= 0) return true
      if (this.#looked >= lookedAtMax) return false
      const part = { after, upTo: after, all: 0, events: 0, bytes: 0 }
      for await (const { events, next } of log.read({ where: this.#address, from: after, until: head })) {
        for (const event of events) await this.#count(part, event)
        part.upTo = next
        await this.#looking(events.length)
        if (part.all >= parts.partEvents) break
      }
      if (part.upTo === after) part.upTo = head
      parts.add(part)
    }
  }

  async #count(part: Part, stored: StoredEvent): Promise<void> {
    part.all++
    if (this.#options.tried?.has(stored.cursor) || !(await this.#matches(stored))) return
    part.events++
    part.bytes += bytesOf(stored)
  }

  /** Goes through a stretch up to the first event that may stay; answers whether it came to the end. */
  async #walk(part: Stretch): Promise<boolean> {
    const { log } = this.#context
    const { progress } = this.#options
    if (part.events === 0) {
      progress.from = later(log, progress.from, part.upTo)
      return true
    }
    const from = later(log, progress.from, part.after)
    if (!(await this.#isAnyOver(from, part.upTo))) return false
    for await (const { events, next } of log.read({ where: this.#address, from, until: part.upTo })) {
      const found = await this.#sift(events)
      if (found.going.length > 0 && !(await this.#drop(part, found.going))) return false
      if (found.end !== undefined) {
        progress.from = later(log, progress.from, found.end)
        return false
      }
      progress.from = later(log, progress.from, next)
      await this.#looking(events.length)
      if (this.#looked < lookedAtMax * 2) continue
      this.#isWhole = false
      return false
    }
    return true
  }

  /** Those of a batch that go; `end`: the place before what comes next, where it ends there. */
  async #sift(
    events: readonly StoredEvent[],
  ): Promise<{ readonly going: readonly StoredEvent[]; readonly end?: Cursor }> {
    const going: StoredEvent[] = []
    let end: Cursor | undefined
    let before = this.#options.progress.from
    for (const stored of events) {
      if (!this.#mayBeOver(stored)) {
        end ??= before
        break
      }
      if (!this.#options.tried?.has(stored.cursor) && (await this.#matches(stored))) {
        if (end === undefined && (await this.#isNeeded(stored.cursor))) end = before
        this.#left.events--
        this.#left.bytes -= bytesOf(stored)
        if (end === undefined) going.push(stored)
        else add(this.#stays, stored)
      }
      before = stored.cursor
    }
    return { going, ...(end !== undefined && { end }) }
  }

  /** Told without reading an event. */
  async #isAnyOver(after: Cursor, upTo: Cursor): Promise<boolean> {
    const { oldestAt } = await this.#context.log.stats(this.#address, after, upTo)
    return oldestAt !== undefined && this.#mayBeOver({ storedAt: oldestAt })
  }

  #mayBeOver({ storedAt }: Pick<StoredEvent, "storedAt">): boolean {
    const { eventsMax, bytesMax } = this.#options.rule
    if (storedAt < this.#oldest) return true
    if (eventsMax !== undefined && this.#left.events > eventsMax) return true
    return bytesMax !== undefined && this.#left.bytes > bytesMax
  }

  /** Answers whether they went: not where others went meanwhile, and what was counted is wrong. */
  async #drop(part: Stretch, going: readonly StoredEvent[]): Promise<boolean> {
    const cursors = going.map(({ cursor }) => cursor)
    if (this.#options.tried !== undefined) for (const cursor of cursors) this.#options.tried.add(cursor)
    else if (part.events !== undefined && !(await this.#isAsCounted())) {
      this.#isWhole = false
      return false
    } else {
      const dropped = await this.#context.log.drop(this.#address, cursors)
      if (part.events !== undefined) {
        part.all -= dropped
        part.events -= going.length
        part.bytes -= going.reduce((sum, stored) => sum + bytesOf(stored), 0)
      }
    }
    for (const stored of going) add(this.#goes, stored)
    return true
  }

  async #isAsCounted(): Promise<boolean> {
    const { parts } = this.#options.progress
    const [first, last] = [parts.list[0]!, parts.list.at(-1)!]
    return (await this.#context.log.stats(this.#address, first.after, last.upTo)).events === parts.all
  }

  async #isNeeded(cursor: Cursor): Promise<boolean> {
    if (!this.#isAsked) this.#held = await this.#options.needs()
    this.#isAsked = true
    const { log } = this.#context
    const { from, after } = this.#held?.needed ?? {}
    if (from !== undefined && log.compare(cursor, from) >= 0) return true
    return after !== undefined && log.compare(cursor, after) > 0
  }

  async *#read(from: Cursor, until: Cursor): AsyncIterable<StoredEvent> {
    for await (const { events } of this.#context.log.read({ where: this.#address, from, until })) {
      yield* events
      await this.#looking(events.length)
    }
  }

  async #looking(events: number): Promise<void> {
    this.#looked += events
    await this.#pace()
  }

  #matches({ event }: StoredEvent): boolean | Promise<boolean> {
    const view = new EventView(event)
    return inTurns(view, turnSteps, () => this.#passes(event, view), this.#pace)
  }
}

/** A part that was counted, or all there is. */
type Stretch = Part | (Pick<Part, "after" | "upTo"> & { readonly events?: undefined })

function later(log: RuleContext["log"], one: Cursor, other: Cursor): Cursor {
  return log.compare(one, other) >= 0 ? one : other
}

function add(to: Some, stored: StoredEvent): void {
  to.events++
  to.bytes += bytesOf(stored)
  to.oldestAt ??= stored.storedAt
  to.newestAt = stored.storedAt
}

function bytesOf({ event }: StoredEvent): number {
  return event.attributesJson.length + (event.data?.length ?? 0)
}
