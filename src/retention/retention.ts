import type { Catalog, Item } from "../core/catalog.ts"
import { deletedTopicKeys, topicKeys } from "../core/catalog-keys.ts"
import { itemsUnder } from "../core/catalog-scan.ts"
import { type Clock, sleep } from "../core/clock.ts"
import type { Engine } from "../core/engine.ts"
import { ClosedError, ConflictError } from "../core/errors.ts"
import type { Logger } from "../core/logger.ts"
import { createPace } from "../core/pace.ts"
import { newTopic, type Topic } from "../core/resources.ts"
import { Troubles } from "../core/troubles.ts"
import { type KeptFigures, KeptTopics } from "./kept-topics.ts"
import { Needs } from "./needed.ts"
import { drop, dropByRules, overdueOf, RuleMemory } from "./prune.ts"

export interface RetentionOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly log: Logger
  /** Between two rounds; default: a minute. */
  readonly everyMs?: number
  /** What becomes of events that were stored on a topic while it was deleted: they make it anew, or they go as well. */
  readonly topics: { readonly autoCreate: boolean; readonly dedupeWindowMs: number }
}

const listing = "retention: listing the topics"
/** In so many rounds a topic that was deleted is looked at: whoever published may have learned of it late. */
const roundsAfter = 2

export interface RetentionLoop {
  readonly done: Promise<void>
  /** What was kept in the last round though it is over; nothing where another process does the rounds. */
  figures(): KeptFigures
  stop(): Promise<void>
}

/** Drops, round after round, what topics no longer keep: in one process of all. */
export function startRetention(options: RetentionOptions): RetentionLoop {
  const stop = new AbortController()
  const keeping = new KeptTopics(options)
  const done = takeTurns(options, keeping, stop.signal)
  return {
    done,
    figures: () => keeping.figures(),
    async stop() {
      stop.abort()
      await done.catch(() => {})
    },
  }
}

async function takeTurns(options: RetentionOptions, keeping: KeptTopics, stop: AbortSignal): Promise<void> {
  for await (const assignment of options.engine.assignments.take("retention", 1, stop)) {
    await run(options, keeping, AbortSignal.any([stop, assignment.lost]))
    keeping.forget()
    await assignment.release()
  }
}

async function run(options: RetentionOptions, keeping: KeptTopics, stop: AbortSignal): Promise<void> {
  const { engine, clock, log, everyMs = 60_000 } = options
  const deletions = new DeletedTopics(options)
  const troubles = new Troubles(log)
  const memory = new RuleMemory()
  while (!stop.aborted) {
    await sleep(clock, everyMs, stop)
    let [events, trimmed] = [0, 0]
    const needs = new Needs(engine, clock)
    const isListed = await eachTopic(options, troubles, stop, topicKeys.prefix, async ({ value }) => {
      const dropped = await trim(options, troubles, value, { needs, keeping, memory })
      events += dropped
      if (dropped > 0) trimmed++
    })
    if (isListed) keeping.roundEnds()
    if (isListed) memory.roundEnds()
    if (events > 0) log.info({ events, topics: trimmed }, "retention dropped events")
    if (!isListed) continue
    const deleted: Item<Topic>[] = []
    const isKnown = await eachTopic(options, troubles, stop, deletedTopicKeys.prefix, (item) => void deleted.push(item))
    if (isKnown) await deletions.look(deleted)
  }
}

/** Topics that were deleted, as the catalog remembers them for some rounds. */
class DeletedTopics {
  readonly #options: RetentionOptions
  /** In how many rounds each deletion was looked at. */
  readonly #rounds = new Map<string, number>()

  constructor(options: RetentionOptions) {
    this.#options = options
  }

  async look(deleted: readonly Item<Topic>[]): Promise<void> {
    const deletions = new Map(deleted.map((item) => [`${item.key} ${item.revision}`, item]))
    for (const name of this.#rounds.keys()) if (!deletions.has(name)) this.#rounds.delete(name)
    for (const [name, { key, revision, value }] of deletions) {
      const rounds = (this.#rounds.get(name) ?? 0) + 1
      this.#rounds.set(name, rounds)
      const isSettled = await this.#settle(value)
      if (isSettled && rounds >= roundsAfter) await this.#forget(key, revision)
    }
  }

  /** Another deletion of that topic may have come. */
  async #forget(key: string, revision: number): Promise<void> {
    await this.#options.engine.catalog.delete(key, revision).catch((error: unknown) => {
      if (!(error instanceof ConflictError)) this.#failed(error, key)
    })
  }

  /** Answers whether that is done. */
  async #settle({ tenant, id }: Topic): Promise<boolean> {
    const { engine, clock, log, topics } = this.#options
    const address = { tenant, topic: id }
    try {
      const isThere = (await engine.catalog.get(topicKeys.of({ tenant, id }), { newest: true })) !== undefined
      if (isThere || (await engine.log.last(address)) === undefined) return true
      if (topics.autoCreate) {
        await makeAgain(engine.catalog, newTopic(tenant, id, clock.now(), topics.dedupeWindowMs))
        log.info({ tenant, topic: id }, "a topic was published to while it was deleted: it is there again")
      } else await engine.log.trim(address, { eventsMax: 0 })
      return true
    } catch (error) {
      this.#failed(error, id)
      return false
    }
  }

  #failed(error: unknown, topic: string): void {
    if (error instanceof ClosedError) return
    this.#options.log.error({ err: error, topic }, "what a deleted topic left was not found")
  }
}

/** Stores a topic that has events and is not there, unless somebody has done so. */
async function makeAgain(catalog: Catalog, topic: Topic): Promise<void> {
  try {
    await catalog.put(topicKeys.of(topic), topic, 0)
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error
  }
}

/** Others have their turn. Answers whether it came to all of them. */
async function eachTopic(
  { engine, clock }: RetentionOptions,
  troubles: Troubles,
  stop: AbortSignal,
  prefix: string,
  visit: (item: Item<Topic>) => void | Promise<void>,
): Promise<boolean> {
  const pace = createPace(clock)
  try {
    for await (const item of itemsUnder<Topic>(engine.catalog, prefix)) {
      if (stop.aborted) return false
      await visit(item)
      await pace()
    }
    troubles.over(listing)
    return !stop.aborted
  } catch (error) {
    if (!(error instanceof ClosedError)) {
      troubles.met(listing, "retention could not list the topics; it tries again", { err: error })
    }
    return false
  }
}

interface Round {
  readonly needs: Needs
  readonly keeping: KeptTopics
  readonly memory: RuleMemory
}

/** One topic's trouble is not another's: what fails is said, and tried again in the next round. Answers how many events went. */
async function trim(
  { engine, clock }: RetentionOptions,
  troubles: Troubles,
  topic: Topic,
  { needs, keeping, memory }: Round,
): Promise<number> {
  const { tenant, id, retention } = topic
  const what = `retention of topic ${tenant}/${id}`
  try {
    if (Object.keys(retention).length === 0) {
      troubles.forget(what)
      return 0
    }
    const overdue = await overdueOf(engine, topic, retention, needs)
    const dropped = await drop(engine, topic, overdue)
    const rules =
      retention.rules === undefined ? undefined : await dropByRules({ log: engine.log, clock }, topic, needs, memory)
    keeping.seen(topic, overdue.stays.events + (rules?.stays ?? 0), overdue.held ?? rules?.held)
    troubles.over(what)
    return dropped + (rules?.goes ?? 0)
  } catch (error) {
    if (!(error instanceof ClosedError))
      troubles.met(what, "retention failed on a topic", { err: error, tenant, topic: id })
    return 0
  }
}
