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

/** Each breaks one promise in a way that a tired programmer might. */
export const mutants: readonly Mutant[] = [
  {
    name: "position saved before the deliveries",
    file: `${route}/router.ts`,
    before: `persist(this.#patience, "routing", () => this.#options.engine.queue.enqueue(deliveries, position))`,
    after: `persist(this.#patience, "routing", () => this.#options.engine.queue.enqueue([], position).then(() => this.#options.engine.queue.enqueue(deliveries)))`,
  },
  {
    name: "position not guarded",
    file: `${engine}/queue.ts`,
    before: "if (!this.#positions.isBeyond(position)) return this.#positions.written(reader)",
    after: "",
  },
  {
    name: "position moves ahead of what matched",
    file: `${route}/router.ts`,
    before: "if (deliveries.length > 0) await this.#enqueue(deliveries, batch.next)",
    after: "if (deliveries.length > 1) await this.#enqueue(deliveries, batch.next)",
  },
  {
    name: "attaching is off by one",
    file: `${route}/roster.ts`,
    before: "after === undefined || this.#options.engine.log.compare(cursor, after) > 0",
    after: "after === undefined || this.#options.engine.log.compare(cursor, after) >= 0",
  },
  {
    name: "a trigger that is behind is attached at once",
    file: `${route}/roster.ts`,
    before: 'if (own && member.state.kind === "resting" && !this.#isBehind(member.position)) {',
    after: 'if (own && member.state.kind === "resting") {',
  },
  {
    name: "pausing loses the place",
    file: `${route}/roster.ts`,
    before: 'else if (member.state.kind === "attached") await this.#detach(path, member, member.state.after)',
    after: "else this.#unmatch(path, trigger)",
  },
  {
    name: "a lease does not hide",
    file: `${engine}/queue.ts`,
    before: "this.#lanes.prepare(lane, options.max)",
    after: "for (const row of lane.rows.values()) if (row.state === 'leased') this.#lanes.makeReady(row)",
  },
  {
    name: "a stale settle is accepted",
    file: `${engine}/queue/leases.ts`,
    before: "this.#byToken.delete(row.token)",
    after: "",
  },
  {
    name: "a lapsed lease never comes back",
    file: `${engine}/queue.ts`,
    before: "this.#store.write([write]).catch(() => undefined)\n    this.#lanes.makeReady(row)",
    after: "this.#store.write([write]).catch(() => undefined)",
  },
  {
    name: "the retry delay is ignored",
    file: `${engine}/queue.ts`,
    before: "const dueAt = this.#clock.now() + Math.max(0, Math.ceil(delayMs))",
    after: "const dueAt = this.#clock.now() + Math.max(0, Math.ceil(delayMs) - 50)",
  },
  {
    name: "what was parked is forgotten by a start",
    file: `${engine}/queue.ts`,
    before: "this.#parking.start()",
    after: "",
  },
  {
    name: "a dead letter is lost",
    file: `${engine}/queue.ts`,
    before: "writes.push(putDead(letter, row.attempts + 1))",
    after: "if (letter.attempts % 2 === 0) writes.push(putDead(letter, row.attempts + 1))",
  },
  {
    name: "done before it is sent",
    file: `${deliver}/lane.ts`,
    before: "const startedAt = clock.now()\n",
    after:
      "const startedAt = clock.now()\n    await this.#hub.engine.queue.settle(job.lease, { kind: 'done' }).catch(() => {})\n",
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
    before: "if (this.#stopping || now < this.#restUntil) return false",
    after: "if (this.#stopping) return false",
  },
  {
    name: "one lane may take every slot",
    file: `${deliver}/slots.ts`,
    before: "Math.max(0, always - held, Math.floor((this.max - this.#taken - held + 1) / 2))",
    after: "Math.max(0, this.max - this.#taken - held * 0)",
  },
  {
    name: "what a pause held is not resumed",
    file: `${deliver}/worker.ts`,
    before: "queue.resume(tenant, trigger, incarnation)",
    after: "Promise.resolve()",
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
    name: "a catalog change is acknowledged before it is durable",
    file: `${engine}/catalog.ts`,
    before: "this.#tell(pending)\n    await this.#store.flushed()",
    after: "this.#tell(pending)",
  },
]
