import type { Fault } from "./attributes.ts"

/** What was meant as an event and is none: a value, answered to its sender. */
export class InvalidEvent {
  /** One sentence. */
  readonly detail: string
  /** Every wrong field at once; empty where the text itself could not be read. */
  readonly faults: readonly Fault[]
  /** The event's id, where it could be read. */
  readonly id: string | undefined

  constructor(detail: string, faults: readonly Fault[] = [], id?: string) {
    this.detail = detail
    this.faults = faults
    this.id = id
  }

  /** From the faults of its fields, of which there is at least one. */
  static of(faults: readonly Fault[], id?: unknown): InvalidEvent {
    const first = faults[0] as Fault
    const detail = faults.length === 1 ? sentence(first) : `not a valid event: ${faults.length} fields are wrong`
    return new InvalidEvent(detail, faults, typeof id === "string" && id !== "" ? id : undefined)
  }
}

function sentence(fault: Fault): string {
  return fault.field === "" ? `the event ${fault.message}` : `${fault.field} ${fault.message}`
}
