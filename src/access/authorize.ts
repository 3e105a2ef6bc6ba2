import type { Catalog } from "../core/catalog.ts"
import { accessKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import { KeyRing } from "./key-ring.ts"
import { hashKey, isKey, type Right, type StoredKey } from "./keys.ts"
import { createMissLimit, type MissLimit } from "./miss-limit.ts"

/** Whose key it was. */
export interface Caller {
  readonly tenant: string
  /** The key's id. */
  readonly key: string
  /** What the key may beyond its tenant. */
  readonly rights: readonly Right[]
}

/** Whose key an `Authorization` header holds; undefined: nobody's. Does not wait for anything. */
export type Authorize = (authorizationHeader: string | undefined) => Caller | undefined

/** The catalog's keys, in memory. */
export interface Keys {
  readonly authorize: Authorize
  /** Ends when the view does; rejects when the keys could not be watched: what is known stays in force. */
  readonly watching: Promise<void>
}

export interface KeysOptions {
  readonly catalog: Catalog
  readonly clock: Clock
  /** Ends the watching of the keys. */
  readonly stop: AbortSignal
}

/** Headers remembered at most; beyond that they are checked anew. */
const headersMax = 1_000
/**
 * Headers hashed per second at most where none was right. A guess costs 3 us then, and a flood of them 15 ms a second. A
 * header that was right before is remembered and never counts.
 */
const missesPerSecond = 5_000

/**
 * Resolves once the keys are known. A known header costs one look into a map; an unknown one a SHA-256. A key that is
 * changed or deleted is refused as soon as the catalog tells.
 */
export async function openKeys({ catalog, clock, stop }: KeysOptions): Promise<Keys> {
  const keys = new KeyRing()
  const known = new Map<string, Caller>()
  const current = Promise.withResolvers<void>()
  const watch = async () => {
    for await (const change of catalog.watch<StoredKey>(accessKeys.prefix, stop)) {
      known.clear()
      if (change.kind === "put") keys.put(change.item.key, change.item.value)
      else if (change.kind === "delete") keys.delete(change.key)
      else current.resolve()
    }
  }
  const watching = watch()
  await Promise.race([current.promise, watching])
  return { authorize: createAuthorize(keys, known, createMissLimit(clock, missesPerSecond)), watching }
}

/** `known`: whose each header is that was right. */
function createAuthorize(keys: KeyRing, known: Map<string, Caller>, mayMiss: MissLimit): Authorize {
  return (header) => {
    if (header === undefined) return undefined
    const caller = known.get(header)
    if (caller !== undefined) return caller
    const key = /^Bearer +(\S+)$/i.exec(header)?.[1]
    if (key === undefined || !isKey(key) || !mayMiss.ask()) return undefined
    const found = find(keys, key)
    if (found === undefined) {
      mayMiss.count()
      return undefined
    }
    if (known.size >= headersMax) known.clear()
    known.set(header, found)
    return found
  }
}

function find(keys: KeyRing, key: string): Caller | undefined {
  const found = keys.find(hashKey(key).toString("hex"))
  return found && { tenant: found.tenant, key: found.id, rights: found.rights ?? [] }
}
