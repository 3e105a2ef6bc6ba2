/** Where an event was published: a topic of one tenant, and within it, optionally, one key (`orders:123`). */
export interface Address {
  readonly tenant: string
  readonly topic: string
  readonly key?: string
}

/** The tenant of everything while there is one tenant only. */
export const defaultTenant = "default"

/** Topics that the hub itself writes: every attempt, and every dead letter. Nobody publishes to them. */
export const attemptsTopic = "redcar.attempts"
export const deadLettersTopic = "redcar.dead-letters"
const reserved: readonly string[] = [attemptsTopic, deadLettersTopic]

const topicName = /^[a-z0-9_-]{1,50}$/
const keyName = /^[A-Za-z0-9_.~@=+/-]{1,128}$/

/** Whether the hub itself writes this topic. */
export function isReservedTopic(topic: string): boolean {
  return reserved.includes(topic)
}

/** Splits `orders:123`; answers what is wrong with it as text. Reserved topics parse: who may write them is not asked here. */
export function parseTopic(text: string): { readonly topic: string; readonly key?: string } | string {
  const colon = text.indexOf(":")
  const topic = colon < 0 ? text : text.slice(0, colon)
  if (!topicName.test(topic) && !isReservedTopic(topic)) {
    return `a topic's name is 1 to 50 of a-z, 0-9, _ and -, not ${JSON.stringify(topic)}`
  }
  if (colon < 0) return { topic }
  const key = text.slice(colon + 1)
  if (!keyName.test(key)) return `a key is 1 to 128 of A-Z, a-z, 0-9 and _.~@=+/-, not ${JSON.stringify(key)}`
  return { topic, key }
}

/** The inverse of {@link parseTopic}. */
export function formatTopic(address: { readonly topic: string; readonly key?: string }): string {
  return address.key === undefined ? address.topic : `${address.topic}:${address.key}`
}
