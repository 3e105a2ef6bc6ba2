import { asideMutants } from "./mutants-asides.ts"
import { batchMutants } from "./mutants-batches.ts"
import { delayedMutants } from "./mutants-delayed.ts"
import { keepingMutants } from "./mutants-keeping.ts"
import { queueMutants } from "./mutants-queues.ts"
import { replyMutants } from "./mutants-replies.ts"
import { subscriptionMutants } from "./mutants-subscriptions.ts"

/** One line of the source, broken on purpose. */
export interface Mutant {
  readonly name: string
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly before: string
  readonly after: string
}

const route = "src/route"
const deliver = "src/deliver"
const engine = "src/engines/embedded"
const parts = "src/engines/parts"
const api = "src/api"
const resources = "src/resources"

/** Each breaks one promise in a way that a tired programmer might. */
export const mutants: readonly Mutant[] = [
  {
    name: "position saved before the deliveries",
    file: `${route}/log-reader.ts`,
    before: `persist(retrying, "routing", () => engine.queue.enqueue(deliveries, position))`,
    after: `persist(retrying, "routing", () => engine.queue.enqueue([], position).then(() => engine.queue.enqueue(deliveries)))`,
  },
  {
    name: "position not guarded",
    file: `${parts}/queue.ts`,
    before: "if (!this.#positions.isBeyond(position)) return this.#positions.written(reader)",
    after: "",
  },
  {
    name: "position moves ahead of what matched",
    file: `${route}/log-reader.ts`,
    before: "if (deliveries.length > 0) {",
    after: "if (deliveries.length > 1) {",
  },
  {
    name: "a trigger that is behind is attached at once",
    file: `${route}/trigger-readers.ts`,
    before: 'if (own && tracked.state.kind === "resting" && !this.#isBehind(trigger.tenant, tracked.position)) {',
    after: 'if (own && tracked.state.kind === "resting") {',
  },
  {
    name: "pausing loses the place",
    file: `${route}/trigger-readers.ts`,
    before: 'else if (tracked.state.kind === "attached") await this.#detach(path, tracked, tracked.state.after)',
    after: "else this.#unmatch(path, trigger)",
  },
  {
    name: "a lease does not hide",
    file: `${parts}/queue/lease-rows.ts`,
    before: "lanes.prepare(lane, max - given.length)",
    after: "for (const row of lane.rows.values()) if (row.state === 'leased') lanes.makeReady(row)",
  },
  {
    name: "a stale settle is accepted",
    file: `${parts}/queue/leases.ts`,
    before: "this.#byToken.delete(row.token)",
    after: "",
  },
  {
    name: "a lapsed lease never comes back",
    file: `${parts}/queue/endings.ts`,
    before: "store.write([putAgain(row, stateOf(row))]).catch(() => undefined)\n    lanes.makeReady(row)",
    after: "store.write([putAgain(row, stateOf(row))]).catch(() => undefined)",
  },
  {
    name: "the retry delay is ignored",
    file: `${parts}/queue/endings.ts`,
    before: "const dueAt = this.#parking.now() + Math.max(0, Math.ceil(delayMs))",
    after: "const dueAt = this.#parking.now() + Math.max(0, Math.ceil(delayMs) - 50)",
  },
  {
    name: "what was parked is forgotten by a start",
    file: `${parts}/queue.ts`,
    before: "this.#parking.start()",
    after: "",
  },
  {
    name: "a dead letter is lost",
    file: `${parts}/queue/endings.ts`,
    before: "this.#finish(row, [putDead(ending.letter, row.attempts + 1)], ending.holdsKey)",
    after:
      "this.#finish(row, ending.letter.attempts % 2 ? [] : [putDead(ending.letter, row.attempts + 1)], ending.holdsKey)",
  },
  {
    name: "done before it is sent",
    file: `${deliver}/lane.ts`,
    before: "const startedAt = clock.now()\n",
    after:
      "const startedAt = clock.now()\n    await this.#hub.engine.queue.end(jobs[0].job.lease, { kind: 'done' }).catch(() => {})\n",
  },
  {
    name: "done whatever the answer",
    file: `${deliver}/decide.ts`,
    before: `if (outcome.kind === "delivered") return { kind: "done" }`,
    after: `if (outcome.kind === "delivered" || standing.attempt > 3) return { kind: "done" }`,
  },
  {
    name: "one attempt too few",
    file: `${deliver}/decide.ts`,
    before: "counted >= policy.attemptsMax",
    after: "counted >= policy.attemptsMax - 1",
  },
  {
    name: "rest that was asked for is not given",
    file: `${deliver}/lane.ts`,
    before: "if (this.#stopping || now < this.#shared.restUntil) return false",
    after: "if (this.#stopping) return false",
  },
  {
    name: "a tenant's limit at once is not kept",
    file: `${deliver}/slots.ts`,
    before: "this.#max = share.inFlightMax ?? Number.POSITIVE_INFINITY",
    after: "this.#max = Number.POSITIVE_INFINITY",
  },
  {
    name: "a tenant's rate is not kept",
    file: `${deliver}/rate-turns.ts`,
    before: "if (this.#turn === wake || (this.#turn === undefined && this.available >= 1)) return true",
    after: "return true",
  },
  {
    name: "what a pause held is not resumed",
    file: `${parts}/queue/held.ts`,
    before: "if (due.length === 0) return resumed",
    after: "if (due.length >= 0) return resumed",
  },
  {
    name: "duplicates are forgotten by a crash",
    file: `${engine}/log/open.ts`,
    before: "index.restoreIds(recovered.tail, clock.now())",
    after: "",
  },
  {
    name: "acknowledged before it is durable",
    file: `${engine}/log/appender.ts`,
    before: "stored ? writer.commit() : writer.settled(wait)",
    after: "stored ? (void writer.commit(), Promise.resolve()) : writer.settled(wait)",
  },
  {
    name: "a change of the state is acknowledged before it is in the log",
    file: `${parts}/journal/journal-store.ts`,
    before: "await this.#options.journal.append(record)",
    after: "void this.#options.journal.append(record).catch(() => {})",
  },
  {
    name: "an older state is believed",
    file: `${engine}/log/replay.ts`,
    before: "if (position > (this.#options.told?.applied ?? -1)) this.#found.push(position)",
    after: "if (this.#options.told === undefined) this.#found.push(position)",
  },
  {
    name: "what is damaged is not named",
    file: `${engine}/log/health.ts`,
    before: "this.#damages.push(damage)",
    after: "void damage",
  },
  {
    name: "a segment that is gone is not named",
    file: `${engine}/log/chain.ts`,
    before: "found.push({ ...part, name: nameOf(part, previous) })",
    after: "void nameOf(part, previous)",
  },
  {
    name: "a file is taken for what its name says",
    file: `${engine}/log/chain.ts`,
    before: "return { base, bytes: made, name,",
    after: "return { base: named, bytes: made, name,",
  },
  {
    name: "a lost state is begun anew",
    file: `${engine}/log/open.ts`,
    before: "onJournal: (record) => replay.found(record)",
    after: "onJournal: () => {}",
  },
  {
    name: "creating replaces what is there",
    file: `${resources}/store.ts`,
    before: "if ((await this.#catalog.get(key)) !== undefined) throw alreadyExists(type.name, id)",
    after: "await this.#catalog.delete(key)",
  },
  {
    name: "a trial is stored",
    file: `${resources}/store.ts`,
    before: "if (options.validateOnly) return { resource, revision: undefined, known: resource }\n    const",
    after: "const",
  },
  {
    name: "a PUT makes what is not there, whatever its If-Match",
    file: `${api}/preconditions.ts`,
    before: "if (ifMatch === undefined) return undefined\n      return `there is no",
    after: "if (ifMatch !== '') return undefined\n      return `there is no",
  },
  {
    name: "a change is for any revision",
    file: `${api}/preconditions.ts`,
    before: "if (ifMatch !== undefined && !etagMatches(ifMatch, revision))",
    after: "if (ifMatch !== undefined && revision < 0)",
  },
  {
    name: "a change goes by what was there when it was asked for",
    file: `${resources}/store.ts`,
    before: `    return this.#inTurns(\`\${type.name} \${id}\`, async () => {\n      const item = await this.find(tenant, id)\n      requirePrecondition`,
    after: `    const found = this.find(tenant, id)\n    found.catch(() => {})\n    return this.#inTurns(\`\${type.name} \${id}\`, async () => {\n      const item = await found\n      requirePrecondition`,
  },
  {
    name: "a patch forgets what it does not name",
    file: `${resources}/store.ts`,
    before: "mergePatch({ id, ...this.type.show(previous, previous) }, patch)",
    after: "mergePatch({ id, ...this.type.show(previous, previous), labels: {} }, patch)",
  },
  {
    name: "replacing a topic keeps its retention",
    file: `${resources}/topics.ts`,
    before: "    retention,\n    dedupeWindowMs,",
    after: "    retention: previous?.retention ?? retention,\n    dedupeWindowMs,",
  },
  {
    name: "what reads a topic does not keep it",
    file: `${resources}/topics.ts`,
    before: "return uses.length === 0 ?",
    after: "return uses.length < 9 ?",
  },
  {
    name: "a deleted topic keeps its events",
    file: `${resources}/topics.ts`,
    before: "await engine.log.trim({ tenant: topic.tenant, topic: topic.id }, { eventsMax: 0 })",
    after: "await engine.log.stats({ tenant: topic.tenant, topic: topic.id })",
  },
  {
    name: "what was deleted is a duplicate still",
    file: `${engine}/log/lookup.ts`,
    before: "isEqual(record, index, event) && !index.isDropped(position)",
    after: "isEqual(record, index, event)",
  },
  {
    name: "retention by count keeps one more",
    file: `${parts}/index/kept.ts`,
    before: "left.events > eventsMax",
    after: "left.events > eventsMax + 1",
  },
  {
    name: "retention by count keeps one less",
    file: `${parts}/index/kept.ts`,
    before: "left.events > eventsMax",
    after: "left.events > eventsMax - 1",
  },
  {
    name: "retention by age is early",
    file: `${parts}/index/kept.ts`,
    before: "now - keep.ageMaxMs",
    after: "now - keep.ageMaxMs / 8",
  },
  {
    name: "retention by bytes is early",
    file: `${parts}/index/kept.ts`,
    before: "left.bytes > bytesMax",
    after: "left.bytes > bytesMax / 8",
  },
  {
    name: "a trigger that is made anew is the one before",
    file: `${resources}/triggers.ts`,
    before: "previous ? previous.incarnation : newIncarnation(now, context.chance)",
    after: 'previous ? previous.incarnation : "0"',
  },
  {
    name: "a change of a trigger ends its pause",
    file: `${resources}/triggers.ts`,
    before: "if (body.paused === undefined) return previous?.paused",
    after: "if (body.paused === undefined) return undefined",
  },
  {
    name: "resuming is not stored",
    file: `${resources}/triggers.ts`,
    before: "const { paused: _, ...rest } = trigger\n  return rest",
    after: "return trigger",
  },
  {
    name: "a destination that is used can be deleted",
    file: `${resources}/owed.ts`,
    before: "if (reasons.length === 0) return undefined",
    after: "if (reasons.length >= 0) return undefined",
  },
  {
    name: "a redriven delivery is lost",
    file: `${parts}/queue/dead-rows.ts`,
    before: "await this.#takeAway(tenant, id, writes)\n    const lane = lanes.ensure(name)",
    after: "await this.#takeAway(tenant, id, [])\n    if (name) return true\n    const lane = lanes.ensure(name)",
  },
  {
    name: "what is moved is lost",
    file: `${parts}/queue/move.ts`,
    before: "enqueuing.add(deliveries, clock.now(), writes)",
    after: "enqueuing.add(deliveries.slice(1), clock.now(), writes)",
  },
  {
    name: "what is listed as open lacks what is parked",
    file: `${parts}/queue/open.ts`,
    before: "const rows = [...due, ...parked].filter(",
    after: "const rows = due.filter(",
  },
  {
    name: "what is resent is only said to be",
    file: `${api}/deliveries/resend.ts`,
    before: "await engine.queue.carry([{",
    after: "void engine\n  void ([{",
  },
  {
    name: "a condition is not asked",
    file: `${engine}/log/appender.ts`,
    before: `if ((cursor ?? "none") === expectedLast) return true`,
    after: "if (cursor !== undefined) return true",
  },
  {
    name: "an event of another tenant is shown",
    file: `${api}/events/event-query.ts`,
    before: "if (stored?.address.tenant !== tenant) throw absent",
    after: "if (stored === undefined) throw absent",
  },
  {
    name: "a look-up begins anew without end",
    file: `${engine}/log/appender.ts`,
    before:
      "      if (holds && discards === this.#discards) return this.#putAll(putting)\n      await sleep(this.#state.clock, tries)",
    after: "      if (putting.known.size === 0) return this.#putAll(putting)\n      tries = 0",
  },
  {
    name: "two of an order key at once",
    file: `${parts}/queue/order.ts`,
    before: "return this.#leased.has(prefix)",
    after: "return this.#leased.has(prefix) && prefix === ''",
  },
  {
    name: "a retry lets the next of its order key go before it",
    file: `${parts}/queue/endings.ts`,
    before: "putParked(writes, row.lane.name, row.delivery, state)",
    after:
      "putParked(writes, row.lane.name, row.delivery, state)\n    removeOrder(writes, row.lane.name, row.delivery)",
  },
  {
    name: "a dead letter does not hold its order key",
    file: `${parts}/queue/endings.ts`,
    before: "if (holdsKey) putOrder(",
    after: "if (holdsKey && row.delivery.id === '') putOrder(",
  },
  {
    name: "what is behind another is forgotten by a restart",
    file: `${parts}/queue/order.ts`,
    before: "if (first !== undefined) lane.keys.all()",
    after: "if (first?.key === '') lane.keys.all()",
  },
  {
    name: "a run is passed before it is published",
    file: "src/sources/schedule/run.ts",
    before: "      await this.#publish(tick)",
    after: "      this.#reach(tick, tick)\n      await this.#save()\n      await this.#publish(tick)",
  },
  ...asideMutants,
  ...batchMutants,
  ...delayedMutants,
  ...keepingMutants,
  ...replyMutants,
  ...queueMutants,
  ...subscriptionMutants,
]
