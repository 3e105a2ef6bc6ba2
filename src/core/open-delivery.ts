import type { Delivery } from "./delivery.ts"

/** A delivery that is neither done nor dead. */
export interface OpenDelivery {
  readonly delivery: Delivery
  readonly attempts: number
  readonly dueAt: number
  /** When it first became due; holding it back by pause moves it. */
  readonly firstDueAt: number
  readonly state: OpenState
}

/** `waiting`: for another one of its order key. */
export const openStates = ["due", "leased", "parked", "held", "waiting"] as const
export type OpenState = (typeof openStates)[number]

/** In order of id, that is, of event; `after` is an id. */
export interface OpenDeliveryQuery {
  readonly tenant: string
  readonly after?: string
  readonly limit: number
  readonly trigger?: string
  readonly destination?: string
  readonly state?: OpenState
}

/** `next` is what to go on after; absent: there are no more. */
export interface OpenDeliveryPage {
  readonly deliveries: readonly OpenDelivery[]
  readonly next?: string
}
