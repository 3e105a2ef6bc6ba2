import type { Item } from "./catalog.ts"
import type { Clock } from "./clock.ts"
import type { Engine } from "./engine.ts"
import { createPace } from "./pace.ts"

interface Reading {
  readonly engine: Pick<Engine, "catalog">
  readonly clock: Clock
}

/** Items read at once: a few milliseconds' worth. */
const scanItems = 256

/** Goes through what is under a prefix, in order of key from after `after` on, until `visit` answers false. Others have their turn. */
export async function scan<Value>(
  { engine, clock }: Reading,
  prefix: string,
  visit: (item: Item<Value>) => boolean,
  after?: string,
): Promise<void> {
  const pace = createPace(clock)
  let page: readonly Item<Value>[]
  let last = after
  // Ends: at the last key under the prefix, which the next page always comes nearer to.
  do {
    page = await engine.catalog.list<Value>(prefix, { limit: scanItems, ...(last !== undefined && { after: last }) })
    for (const item of page) {
      if (!visit(item)) return
      await pace()
    }
    last = page.at(-1)?.key
  } while (page.length === scanItems)
}

/** The values under a prefix that `wanted` says yes to. */
export async function scanFor<Value>(
  context: Reading,
  prefix: string,
  wanted: (value: Value) => boolean,
): Promise<readonly Value[]> {
  const found: Value[] = []
  await scan<Value>(context, prefix, ({ value }) => {
    if (wanted(value)) found.push(value)
    return true
  })
  return found
}
