import type { HubProcess } from "../src/testing/hub-process.ts"
import type { Resources } from "./oracle.ts"
import { bodyOf, type DamageEvent, type Read } from "./workload.ts"

/** Where an event was stored, and whether it was there before. */
export interface Stored {
  readonly id: string
  readonly cursor: string
  readonly duplicate?: boolean
}

/** Publishes events of one topic and key, in one request; throws where not all are acknowledged. */
export async function publish(
  hub: HubProcess,
  key: string,
  events: readonly DamageEvent[],
): Promise<readonly Stored[]> {
  const [first] = events
  const topic = first!.key === undefined ? first!.topic : `${first!.topic}:${first!.key}`
  const single = events.length === 1
  const answer = await fetch(`${hub.address}/v1/topics/${topic}/events`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${key}`,
      "content-type": single ? "application/cloudevents+json" : "application/cloudevents-batch+json",
    },
    body: single ? bodyOf(first!) : `[${events.map(bodyOf).join(",")}]`,
  })
  const text = await answer.text()
  if (answer.status !== 202) throw new Error(`publishing to ${topic} was answered ${answer.status}: ${text}`)
  if (single) return [JSON.parse(text) as Stored]
  const { results } = JSON.parse(text) as { readonly results: readonly Stored[] }
  if (results.some(({ cursor }) => cursor === undefined)) throw new Error(`not all were accepted: ${text}`)
  return results
}

/** All that a topic holds. */
export async function readTopic(hub: HubProcess, topic: string): Promise<readonly Read[]> {
  const answer = await hub.call("GET", `/v1/topics/${topic}/events?from=oldest&limit=all&format=ndjson`)
  const lines = (await answer.text()).split("\n").filter((line) => line !== "")
  return lines.map((line) => JSON.parse(line) as Read)
}

/** The event at a cursor; undefined where the hub says that there is none, or that it is damaged. Throws for every other answer. */
export async function readAlone(hub: HubProcess, key: string, cursor: string): Promise<Read | undefined> {
  const headers = { authorization: `Bearer ${key}` }
  const answer = await fetch(`${hub.address}/v1/events/${cursor}`, { headers })
  const text = await answer.text()
  if (answer.ok) return JSON.parse(text) as Read
  if (answer.status === 404 || /"detail":"damaged: /.test(text)) return undefined
  throw new Error(`GET /v1/events/${cursor}: ${answer.status} ${text}`)
}

/** A dead letter as the API shows it, as far as it is looked at. */
export interface Letter {
  /** The delivery's, without what tells a trigger from an earlier one of its name: none of these is made anew. */
  readonly id: string
  readonly trigger: string
  readonly cursor: string
  readonly reason: string
}

const kinds = ["topics", "destinations", "triggers"] as const

interface Shown {
  readonly id: string
  readonly stats?: unknown
  readonly status?: unknown
}

/** The resources without what changes by itself. */
export async function readResources(hub: HubProcess): Promise<Resources> {
  const all = await Promise.all(kinds.map((kind) => listAll<Shown>(hub, kind)))
  const settled = all.map((items) => items.map(({ stats: _, status: __, ...item }) => item))
  return Object.fromEntries(kinds.map((kind, i) => [kind, settled[i]!]))
}

/** Every page of a list. */
async function listAll<T>(hub: HubProcess, path: string): Promise<readonly T[]> {
  const items: T[] = []
  let token: string | undefined
  do {
    const query = new URLSearchParams({ pageSize: "200", ...(token !== undefined && { pageToken: token }) })
    const page = (await (await hub.call("GET", `/v1/${path}?${query}`)).json()) as {
      readonly items: readonly T[]
      readonly nextPageToken?: string
    }
    items.push(...page.items)
    token = page.nextPageToken
  } while (token !== undefined)
  return items
}

export async function readLetters(hub: HubProcess): Promise<readonly Letter[]> {
  const letters = await listAll<Letter>(hub, "dead-letters")
  return letters.map((letter) => ({ ...letter, id: shortId(letter.id) }))
}

/** `<cursor>.<trigger>` of a delivery's id. */
export function shortId(delivery: string): string {
  return delivery.split(".").slice(0, 2).join(".")
}

/** What the hub says is wrong with it, in its status and to whoever probes it; it has to be ready all the same. */
export async function readHealth(hub: HubProcess): Promise<readonly string[]> {
  const { degraded } = (await (await hub.call("GET", "/readyz")).json()) as { readonly degraded: readonly string[] }
  const { health } = (await (await hub.call("GET", "/v1/status")).json()) as { readonly health: readonly string[] }
  return health.filter((line) => degraded.includes(line))
}
