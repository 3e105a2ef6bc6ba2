import { expect } from "vitest"
import { type Delivery, deliveryId } from "../../core/delivery.ts"
import type { Trigger } from "../../core/resources.ts"
import type { TestApi } from "../api.fixture.ts"

export interface Work {
  readonly queue: string
  /** Adds deliveries of new events; `keys`: of an ordered trigger. */
  add(count: number, keys?: readonly string[]): Promise<readonly Delivery[]>
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they expect it to be
  post(verb: string, body?: unknown, headers?: Record<string, string>): Promise<any>
  lease(body?: unknown): Promise<readonly Item[]>
  settle(settlements: readonly object[]): Promise<readonly string[]>
  // biome-ignore lint/suspicious/noExplicitAny: as above
  status(): Promise<any>
}

export interface Item {
  readonly lease: string
  readonly delivery: string
  readonly attempt: number
  readonly topic: string
  readonly cursor: string
  readonly expiresAt?: string
  readonly event: { readonly id: string; readonly data: unknown }
}

let last = 0

/** A queue of its own, and a trigger that sends there. */
export async function makeWork(api: TestApi, config: object = {}, trigger: object = {}): Promise<Work> {
  const queue = `q${++last}`
  await api.call("POST", "/v1/destinations", { id: queue, kind: "queue", config })
  const made = await api.call("POST", "/v1/triggers", { id: queue, topic: "orders", destination: queue, ...trigger })
  expect(made.status).toBe(201)
  const { incarnation = "" } = (await api.engine.catalog.get<Trigger>(`trigger/default/${queue}`))!.value
  const post = (verb: string, body: unknown = {}, headers = {}) =>
    api.call("POST", `/v1/queues/${queue}/${verb}`, body, headers)
  return {
    queue,
    async add(count, keys = []) {
      const ids = Array.from({ length: count }, () => `e${++last}`)
      const cursors = await api.append("orders:7", ids)
      const deliveries = cursors.map((cursor, i): Delivery => {
        const names = { tenant: "default", trigger: queue, incarnation, destination: queue, cursor, fingerprint: 0 }
        const orderKey = keys[i]
        return { ...names, id: deliveryId(cursor, queue, incarnation), ...(orderKey !== undefined && { orderKey }) }
      })
      await api.engine.queue.enqueue(deliveries)
      return deliveries
    },
    post,
    async lease(body = {}) {
      const answer = await post("lease", body)
      expect(answer.status).toBe(200)
      return answer.body.items
    },
    settle: async (settlements) =>
      (await post("settle", { settlements })).body.items.map(({ state }: { state: string }) => state),
    status: async () => (await api.call("GET", `/v1/queues/${queue}`)).body,
  }
}
