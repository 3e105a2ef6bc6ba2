import type { Catalog, Item } from "./catalog.ts"
import type { Clock } from "./clock.ts"
import type { Engine } from "./engine.ts"
import { createPace } from "./pace.ts"

/** Items read at once: a few milliseconds' worth. */
const itemsAtOnce = 256

/**
 * What is under a prefix, in order of key, from after `after` on. It is read in parts: what is changed meanwhile is in it as it
 * was or as it is.
 */
export async function* itemsUnder<Value>(
  catalog: Pick<Catalog, "list">,
  prefix: string,
  after?: string,
): AsyncGenerator<Item<Value>> {
  let page: readonly Item<Value>[]
  let last = after
  // Ends: at the last key under the prefix, which the next page always comes nearer to.
  do {
    page = await catalog.list<Value>(prefix, { limit: itemsAtOnce, ...(last !== undefined && { after: last }) })
    yield* page
    last = page.at(-1)?.key
  } while (page.length === itemsAtOnce)
}

interface Reading {
  readonly engine: Pick<Engine, "catalog">
  readonly clock: Clock
}

/** Goes through what is under a prefix, as {@link itemsUnder}, until `visit` answers false. Others have their turn. */
export async function scan<Value>(
  { engine, clock }: Reading,
  prefix: string,
  visit: (item: Item<Value>) => boolean,
  after?: string,
): Promise<void> {
  const pace = createPace(clock)
  for await (const item of itemsUnder<Value>(engine.catalog, prefix, after)) {
    if (!visit(item)) return
    await pace()
  }
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
