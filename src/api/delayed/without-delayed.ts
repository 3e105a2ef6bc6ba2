import { isDelayed } from "../../core/delayed.ts"
import type { Engine } from "../../core/engine.ts"
import type { EventLog } from "../../core/log.ts"

/** The engine, of whose log delayed events cannot be read. */
export function withoutDelayed(engine: Engine): Engine {
  return replacing(engine, { log: replacing(engine.log, readingOthers(engine.log)) })
}

function readingOthers(log: EventLog): Pick<EventLog, "read" | "get"> {
  return {
    async *read(options) {
      for await (const batch of log.read(options)) {
        const isAll = !batch.events.some(({ address }) => isDelayed(address))
        yield isAll ? batch : { ...batch, events: batch.events.filter(({ address }) => !isDelayed(address)) }
      }
    },
    async get(cursor, options) {
      const stored = await log.get(cursor, options)
      return stored !== undefined && isDelayed(stored.address) ? undefined : stored
    },
  }
}

/** `target` with other members in the place of some. */
function replacing<T extends object>(target: T, others: Partial<T>): T {
  return new Proxy(target, {
    get(target, name) {
      if (Object.hasOwn(others, name)) return others[name as keyof T]
      const member: unknown = Reflect.get(target, name, target)
      return typeof member === "function" ? member.bind(target) : member
    },
  })
}
