import { ClosedError, StorageFullError } from "../core/errors.ts"
import type { Entry, Range, Store, Table, Write } from "../engines/parts/store.ts"
import { tables } from "../engines/parts/store.ts"
import type { SimulatedChance } from "./chance.ts"
import type { Power } from "./power.ts"
import type { WorkMeter } from "./work.ts"

export interface SimulatedStoreOptions {
  readonly chance: SimulatedChance
  /** How long a commit or a flush takes, in milliseconds; default: 0.1 to 2, now and then up to 30. */
  readonly latencyMs?: (operation: "commit" | "flush") => number
  /** Counts the questions. */
  readonly meter?: WorkMeter
}

/** A store that outlives the processes that use it. */
export interface SimulatedStore {
  /**
   * The store as one process sees it. When its power is cut, a prefix of the calls of `write` stays: at least those that
   * a resolved `flushed` covered, at most all.
   */
  mount(power: Power): Store
  /** Whether commits fail for want of room: then all calls that wait reject with StorageFullError and change nothing. */
  full: boolean
  /** How many calls of `write` are in the store; a cut takes away those it loses. */
  readonly applied: number
  /** How many of them no power cut takes away any more. */
  readonly onDisk: number
  /** What is there now, in order. */
  entries(table: Table): readonly Entry[]
  /** While no process uses it: all that is in it is gone. */
  lose(): void
  /** A copy, to be put in its place later, while no process uses it. */
  copy(): StoreCopy
  restore(copy: StoreCopy): void
}

/** What a store held once. */
export interface StoreCopy {
  readonly entries: ReadonlyMap<Table, readonly Entry[]>
}

/** An empty store. */
export function createSimulatedStore(options: SimulatedStoreOptions): SimulatedStore {
  const { chance, meter } = options
  const latencyMs = options.latencyMs ?? (() => (chance.happens(0.02) ? 30 * chance.next() : 0.1 + 2 * chance.next()))
  const state: StoreState = {
    chance,
    latencyMs,
    data: new Tables(),
    full: false,
    applied: 0,
    onDisk: 0,
    undo: [],
    ...(meter && { meter }),
  }
  return {
    mount: (power) => new MountedStore(state, power),
    get full() {
      return state.full
    },
    set full(full) {
      state.full = full
    },
    get applied() {
      return state.applied
    },
    get onDisk() {
      return state.onDisk
    },
    entries: (table) => [...state.data.range(table, {})],
    lose: () => replaceAll(state, new Map()),
    copy: () => ({ entries: new Map(tables.map((table) => [table, [...state.data.range(table, {})]])) }),
    restore: ({ entries }) => replaceAll(state, entries),
  }
}

function replaceAll(state: StoreState, entries: StoreCopy["entries"]): void {
  state.data = new Tables()
  for (const [table, rows] of entries) {
    state.data.apply(rows.map(({ key, value }) => ({ table, key, value }) as Write))
  }
  state.undo = []
  state.onDisk = state.applied
}

interface StoreState {
  readonly chance: SimulatedChance
  readonly latencyMs: (operation: "commit" | "flush") => number
  readonly meter?: WorkMeter
  data: Tables
  full: boolean
  /** Calls of `write` that were applied, of which safe. */
  applied: number
  onDisk: number
  /** What undoes each applied call after the first `onDisk`. */
  undo: (readonly Write[])[]
}

interface Call {
  readonly writes: readonly Write[]
  readonly resolve: () => void
  readonly reject: (error: Error) => void
}

/** The store as one process sees it. */
class MountedStore implements Store {
  readonly #state: StoreState
  readonly #power: Power
  readonly #waiting: Call[] = []
  #committing = false
  #closed = false

  constructor(state: StoreState, power: Power) {
    this.#state = state
    this.#power = power
    power.onCut(() => loseSome(state, this.#waiting))
  }

  get(table: Table, key: string): Uint8Array | undefined {
    this.#mustBeOpen()
    this.#state.meter?.ask()
    return this.#state.data.get(table, key)?.slice()
  }

  range(table: Table, range: Range = {}): Iterable<Entry> {
    this.#mustBeOpen()
    this.#state.meter?.ask()
    return [...this.#state.data.range(table, range)].map(({ key, value }) => ({ key, value: value.slice() }))
  }

  async write(writes: readonly Write[]): Promise<void> {
    this.#mustBeOpen()
    if (!this.#power.on) return new Promise<void>(() => {})
    return this.#enqueue(writes.map((write) => ({ ...write, value: write.value?.slice() }) as Write))
  }

  async flushed(): Promise<void> {
    this.#mustBeOpen()
    if (!this.#power.on) return new Promise<void>(() => {})
    await this.#drained()
    await this.#flushTo(this.#state.applied)
  }

  async close(): Promise<void> {
    this.#closed = true
    await this.#drained()
    await this.#flushTo(this.#state.applied)
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new ClosedError()
  }

  #enqueue(writes: readonly Write[]): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ writes, resolve, reject })
      if (!this.#committing) void this.#commit()
    })
  }

  async #commit(): Promise<void> {
    const state = this.#state
    const waiting = this.#waiting
    this.#committing = true
    while (waiting.length > 0) {
      const count = waiting.length
      const [calls, refused] = await this.#power.spend("store.commit", state.latencyMs("commit"), () => {
        if (state.full) return [[], waiting.splice(0)]
        const calls = waiting.splice(0, count)
        for (const { writes } of calls) apply(state, writes)
        return [calls, []]
      })
      for (const { resolve } of calls) resolve()
      for (const { reject } of refused) reject(new StorageFullError("the store has no room"))
      void this.#flushTo(state.applied)
    }
    this.#committing = false
  }

  #flushTo(calls: number): Promise<void> {
    const state = this.#state
    return this.#power.spend("store.flush", state.latencyMs("flush"), () => {
      if (calls <= state.onDisk) return
      state.undo.splice(0, calls - state.onDisk)
      state.onDisk = calls
    })
  }

  /** Resolves when the calls so far are applied or refused. */
  async #drained(): Promise<void> {
    if (this.#committing) await this.#enqueue([]).catch(() => {})
  }
}

function apply(state: StoreState, writes: readonly Write[]): void {
  state.undo.push(state.data.apply(writes))
  state.applied++
}

/** Keeps a prefix of the calls, by chance anything from what is safe to everything that was asked. */
function loseSome(state: StoreState, waiting: Call[]): void {
  const asked = state.applied + (state.full ? 0 : waiting.length)
  const kept = state.chance.happens(0.3) ? state.onDisk : state.chance.between(state.onDisk, asked)
  while (state.applied > kept) {
    state.data.apply(state.undo.pop()!)
    state.applied--
  }
  while (state.applied < kept) apply(state, waiting.shift()!.writes)
  state.onDisk = kept
  state.undo = []
}

/** Ordered tables in memory. */
class Tables {
  readonly #tables = new Map(
    tables.map((table) => [table, { keys: [] as string[], values: new Map<string, Uint8Array>() }]),
  )

  get(table: Table, key: string): Uint8Array | undefined {
    return this.#tables.get(table)!.values.get(key)
  }

  *range(table: Table, { start, end, reverse = false, limit = Number.POSITIVE_INFINITY }: Range): Iterable<Entry> {
    const { keys, values } = this.#tables.get(table)!
    const first = start === undefined ? 0 : lowerBound(keys, start)
    const past = end === undefined ? keys.length : lowerBound(keys, end)
    for (let i = 0; i < Math.min(limit, past - first); i++) {
      const key = keys[reverse ? past - 1 - i : first + i]!
      yield { key, value: values.get(key)! }
    }
  }

  /** Answers the writes that undo these. */
  apply(writes: readonly Write[]): readonly Write[] {
    const undo: Write[] = []
    for (const { table, key, value } of writes) {
      const { keys, values } = this.#tables.get(table)!
      undo.push({ table, key, value: values.get(key) } as Write)
      if (value !== undefined) {
        if (!values.has(key)) keys.splice(lowerBound(keys, key), 0, key)
        values.set(key, value)
      } else if (values.delete(key)) {
        keys.splice(lowerBound(keys, key), 1)
      }
    }
    return undo.reverse()
  }
}

function lowerBound(keys: readonly string[], key: string): number {
  let low = 0
  let high = keys.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (keys[middle]! < key) low = middle + 1
    else high = middle
  }
  return low
}
