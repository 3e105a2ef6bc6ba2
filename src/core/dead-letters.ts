import type { DeadLetter, DeadReason } from "./delivery.ts"

/** Deliveries that were given up. */
export interface DeadLetters {
  deadLetters(options: DeadLetterQuery): Promise<readonly DeadLetter[]>
  deadLetter(tenant: string, id: string): Promise<DeadLetter | undefined>
  /** Makes a dead letter a due delivery again; false where there is none of this id. Its attempts so far are forgiven. */
  redrive(tenant: string, id: string): Promise<boolean>
  /** Forgets a dead letter for good; false where there is none of this id. */
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
