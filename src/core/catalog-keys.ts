/** Where the catalog has things of one kind: each under `<kind>/<tenant>/<id>`. Keys that are stored are spelt nowhere else. */
export interface CatalogKeys {
  /** What all of them begin with. */
  readonly prefix: string
  of(named: { readonly tenant: string; readonly id: string }): string
  /** What those of one tenant begin with. */
  ofTenant(tenant: string): string
  /** Of the thing at `path`, which is `<tenant>/<id>`. */
  at(path: string): string
  /** The inverse of {@link CatalogKeys.at}. */
  pathIn(key: string): string
  /** Whether something of this kind is there. */
  has(key: string): boolean
}

function keysOf(kind: string): CatalogKeys {
  const prefix = `${kind}/`
  return {
    prefix,
    of: ({ tenant, id }) => `${prefix}${tenant}/${id}`,
    ofTenant: (tenant) => `${prefix}${tenant}/`,
    at: (path) => prefix + path,
    pathIn: (key) => key.slice(prefix.length),
    has: (key) => key.startsWith(prefix),
  }
}

export const topicKeys = keysOf("topic")
export const triggerKeys = keysOf("trigger")
export const destinationKeys = keysOf("destination")
/** By which URLs a destination's receiver may agree to be sent to. */
export const handshakeKeys = keysOf("handshake")
export const scheduleKeys = keysOf("schedule")
/** How far a schedule has come. */
export const scheduleProgressKeys = keysOf("schedule-progress")
export const subscriptionKeys = keysOf("subscription")
/** Where a subscription stands. */
export const subscriptionPositionKeys = keysOf("subscription-position")
/** Topics that were, or are being, deleted: until what was published meanwhile is seen to. */
export const deletedTopicKeys = keysOf("deleted-topic")
/** Topics and destinations that somebody is about to delete. */
export const topicDeletionKeys = keysOf("topic-deletion")
export const destinationDeletionKeys = keysOf("destination-deletion")
export const replayKeys = keysOf("replay")
/** What the router keeps of a trigger. */
export const routingKeys = keysOf("routing")
/** Whom a partition's main reader passes over: of one log's places, so that it is not moved to another. */
export const asideKeys = { prefix: "routed-aside/", has: (key: string) => key.startsWith("routed-aside/") }
export function asideKey(partition: number): string {
  return `${asideKeys.prefix}${partition}`
}
/** How a trigger was. */
export const routedAsKeys = keysOf("routed-as")
/** Keys by which callers are known. */
export const accessKeys = keysOf("key")
/** A tenant's account on NATS: its path is the tenant. */
export const natsAccountKeys = keysOf("nats-account")
/** By what receivers know the hub. */
export const identityKeys = keysOf("identity")
/** The keys that sign the hub's identity tokens, all of them as one. */
export const identityKey = identityKeys.at("keys")
/** Where an engine that was moved into says so. Not moved on with the rest. */
export const migrationKey = "migration"

/** What a key is made of; a part that it does not have is the empty text. */
export function partsOfKey(key: string): { readonly kind: string; readonly tenant: string; readonly id: string } {
  const [kind = "", tenant = "", id = ""] = key.split("/")
  return { kind, tenant, id }
}
