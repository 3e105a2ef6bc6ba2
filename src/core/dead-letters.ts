import type { DeadLetter, DeadReason, Delivery } from "./delivery.ts"

/** Keeps the deliveries that the hub gave up. */
export interface DeadLetters {
  /** Answers a page of dead letters in the order of their ids. */
  deadLetters(options: DeadLetterQuery): Promise<readonly DeadLetter[]>
  /** Answers the dead letter of this id; undefined where there is none. */
  deadLetter(tenant: string, id: string): Promise<DeadLetter | undefined>
  /**
   * Makes a dead letter a due delivery again and forgives its attempts, or has another one of its lane take its place, as if that
   * were new; answers false where there is none of this id.
   */
  redrive(tenant: string, id: string, as?: Delivery): Promise<boolean>
  /** Forgets a dead letter for good; answers false where there is none of this id. */
  discard(tenant: string, id: string): Promise<boolean>
}

/** In order of id, that is, of event; `after` is an id. */
export interface DeadLetterQuery {
  readonly tenant: string
  readonly after?: string
  readonly limit: number
  readonly trigger?: string
  readonly destination?: string
  readonly reason?: DeadReason
}
