import type { NatsConnection } from "@nats-io/nats-core"
import { type Clock, sleep } from "../../core/clock.ts"
import type { Logger } from "../../core/logger.ts"
import { ask } from "./request.ts"
import type { StreamFound } from "./streams.ts"

export interface CopiesOptions {
  readonly nats: NatsConnection
  readonly clock: Clock
  readonly log: Logger
  /** The hub's own streams; the account may have others. */
  readonly streams: readonly string[]
  /** Between two looks; default 5 s. */
  readonly lookMs?: number
}

interface Page {
  readonly total: number
  readonly streams?: readonly StreamFound[]
}

/** Something that is wrong with copies, and how many streams it is told of. */
interface Trouble {
  /** What is wrong, but for the streams. */
  readonly what: string
  readonly streams: string[]
}

const lookMsDefault = 5_000
/** The API gives no more at once. */
const pageStreams = 256
const namedMax = 12

/** Watches whether each stream has all of its copies. A copy counts as missing once two looks in a row have not found it current. */
export class Copies {
  readonly #options: CopiesOptions
  readonly #stop = new AbortController()
  readonly #names: ReadonlySet<string>
  readonly #looking: Promise<void>
  /** When each trouble was first seen, and how many looks in a row. */
  readonly #seen = new Map<string, { readonly since: number; looks: number }>()
  #lines: readonly string[] = []

  constructor(options: CopiesOptions) {
    this.#options = options
    this.#names = new Set(options.streams)
    this.#looking = this.#run()
  }

  /** What an operator should know, one line for each server that is away and each kind of other trouble. */
  health(): readonly string[] {
    return this.#lines
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#looking
  }

  async #run(): Promise<void> {
    const { clock, lookMs = lookMsDefault } = this.#options
    while (!this.#stop.signal.aborted) {
      await this.#look()
      await sleep(clock, lookMs, this.#stop.signal)
    }
  }

  async #look(): Promise<void> {
    const found = await this.#streams().catch(() => undefined)
    // Where nobody answers, that is what an outage says.
    if (found !== undefined && !this.#stop.signal.aborted) this.#judge(troublesOf(found))
  }

  async #streams(): Promise<readonly StreamFound[]> {
    const found: StreamFound[] = []
    for (let offset = 0, total = 1; offset < total; offset += pageStreams) {
      const page = await ask<Page>(this.#options.nats, "STREAM.LIST", { offset })
      total = page.total
      found.push(...(page.streams ?? []))
    }
    return found.filter(({ config }) => this.#names.has(config.name))
  }

  #judge(troubles: readonly Trouble[]): void {
    const { clock, log } = this.#options
    const keys = new Set(troubles.map(({ what }) => what))
    for (const [what, { looks }] of this.#seen) {
      if (keys.has(what)) continue
      this.#seen.delete(what)
      if (looks > 1) log.info({ trouble: what }, "streams of NATS have their copies again")
    }
    const lines: string[] = []
    for (const trouble of troubles) {
      const seen = this.#seen.get(trouble.what) ?? { since: clock.now(), looks: 0 }
      this.#seen.set(trouble.what, seen)
      seen.looks++
      if (seen.looks > 1) lines.push(lineOf(trouble, seen.since))
      if (seen.looks === 2) log.warn({ streams: trouble.streams }, trouble.what)
    }
    this.#lines = lines
  }
}

function troublesOf(found: readonly StreamFound[]): readonly Trouble[] {
  const troubles = new Map<string, string[]>()
  const add = (what: string, stream: string) => {
    const known = troubles.get(what)
    if (known === undefined) troubles.set(what, [stream])
    else known.push(stream)
  }
  for (const { config, cluster } of found) {
    if (cluster === undefined) continue
    const { leader = "", replicas = [] } = cluster
    if (leader === "") add("streams of NATS have no leader, and take nothing", config.name)
    for (const { name, current } of replicas) {
      if (!current && name !== leader)
        add(`the NATS server ${name} is away or behind, and has no current copy`, config.name)
    }
    const missing = config.num_replicas - replicas.length - (leader === "" ? 0 : 1)
    if (missing > 0 && leader !== "") add("streams of NATS have fewer copies than nats.replicas says", config.name)
  }
  return [...troubles].map(([what, streams]) => ({ what, streams: streams.sort() }))
}

function lineOf({ what, streams }: Trouble, since: number): string {
  const more = streams.length > namedMax ? ` and ${streams.length - namedMax} more` : ""
  return `${what}, since ${new Date(since).toISOString()}: ${streams.slice(0, namedMax).join(", ")}${more}`
}
