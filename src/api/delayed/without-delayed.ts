import type { Address } from "../../core/address.ts"
import type { Cursor } from "../../core/cursor.ts"
import { isDelayed } from "../../core/delayed.ts"
import type { Engine } from "../../core/engine.ts"
import type { Event } from "../../core/event.ts"
import type { AppendOptions, Batch, EventLog, GetOptions, ReadOptions } from "../../core/log.ts"

/** The engine, of whose log delayed events cannot be read. */
export function withoutDelayed(engine: Engine): Engine {
  const log = new Undelayed(engine.log)
  return new Proxy(engine, {
    get(target, name) {
      if (name === "log") return log
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === "function" ? member.bind(target) : member
    },
  })
}

class Undelayed implements EventLog {
  readonly #log: EventLog

  constructor(log: EventLog) {
    this.#log = log
  }

  get partitions(): number {
    return this.#log.partitions
  }

  async *read(options: ReadOptions): AsyncGenerator<Batch> {
    for await (const batch of this.#log.read(options)) {
      const isAll = !batch.events.some(({ address }) => isDelayed(address))
      yield isAll ? batch : { ...batch, events: batch.events.filter(({ address }) => !isDelayed(address)) }
    }
  }

  async get(cursor: Cursor, options?: GetOptions) {
    const stored = await this.#log.get(cursor, options)
    return stored !== undefined && isDelayed(stored.address) ? undefined : stored
  }

  append(address: Address, events: readonly Event[], options?: AppendOptions) {
    return this.#log.append(address, events, options)
  }

  partitionOf(address: { readonly tenant: string; readonly topic: string }): number {
    return this.#log.partitionOf(address)
  }

  find(address: Address, identity: { readonly source: string; readonly id: string }) {
    return this.#log.find(address, identity)
  }

  head(partition?: number) {
    return this.#log.head(partition)
  }

  oldest(partition?: number): Cursor {
    return this.#log.oldest(partition)
  }

  at(time: number, partition?: number) {
    return this.#log.at(time, partition)
  }

  last(address: Address) {
    return this.#log.last(address)
  }

  compare(a: Cursor, b: Cursor): number {
    return this.#log.compare(a, b)
  }

  stats(address: Address, after?: Cursor) {
    return this.#log.stats(address, after)
  }

  dropped(address: Address) {
    return this.#log.dropped(address)
  }

  trim(...given: Parameters<EventLog["trim"]>) {
    return this.#log.trim(...given)
  }

  trimmable(...given: Parameters<EventLog["trimmable"]>) {
    return this.#log.trimmable(...given)
  }
}
