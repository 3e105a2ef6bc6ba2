import type { Cursor } from "../core/cursor.ts"
import {
  ClosedError,
  EventTooLargeError,
  ExpectedLastError,
  InvalidCursorError,
  OverloadError,
  StorageError,
  StorageFullError,
  UnavailableError,
} from "../core/errors.ts"
import type { Fault } from "../formats/attributes.ts"
import type { InvalidEvent } from "../formats/invalid-event.ts"

/** Why something was not published, and the HTTP status that says so. */
export const refusalStatus = {
  "invalid-argument": 400,
  unauthenticated: 401,
  "permission-denied": 403,
  "not-found": 404,
  "too-slow": 408,
  conflict: 409,
  "too-large": 413,
  "unsupported-media-type": 415,
  internal: 500,
  held: 503,
  overloaded: 503,
  "storage-full": 507,
} as const

export type RefusalCode = keyof typeof refusalStatus

/** What a code alone does not say. */
export interface RefusalMore {
  readonly errors?: readonly Fault[]
  readonly retryAfterMs?: number
  /** Of a conditional publish: where the address's newest event is, null for none. */
  readonly last?: Cursor | null
}

/** An event or a request that was not taken: a value, answered to its sender. `detail` says what to do next. */
export class Refusal {
  readonly code: RefusalCode
  readonly detail: string
  readonly more: RefusalMore

  constructor(code: RefusalCode, detail: string, more: RefusalMore = {}) {
    this.code = code
    this.detail = detail
    this.more = more
  }

  get status(): number {
    return refusalStatus[this.code]
  }
}

/** The refusal of what was no event. */
export function refusalOfInvalid(invalid: InvalidEvent): Refusal {
  return new Refusal("invalid-argument", invalid.detail, invalid.faults.length > 0 ? { errors: invalid.faults } : {})
}

/** What the engine's error means for who published; undefined for what no engine should throw. */
export function refusalOfError(error: unknown): Refusal | undefined {
  if (error instanceof OverloadError) {
    const { retryAfterMs } = error
    return new Refusal("overloaded", `${error.message}; try again soon`, { retryAfterMs })
  }
  if (error instanceof StorageFullError) {
    return new Refusal("storage-full", "the disk is full; make room, or shorten the retention of a topic")
  }
  if (error instanceof ExpectedLastError) {
    const detail = `${error.message}; read what came since, decide again and publish with that as redcar-expected-last`
    return new Refusal("conflict", detail, { last: error.last ?? null })
  }
  if (error instanceof InvalidCursorError) {
    const errors = [{ field: "redcar-expected-last", message: "must be a cursor, or none" }]
    return new Refusal("invalid-argument", `redcar-expected-last: ${error.message}`, { errors })
  }
  if (error instanceof ClosedError) {
    return new Refusal("overloaded", "the hub is stopping; try again soon", { retryAfterMs: 1_000 })
  }
  if (error instanceof UnavailableError) {
    return new Refusal("overloaded", `${error.message}; try again soon`, { retryAfterMs: 1_000 })
  }
  if (error instanceof EventTooLargeError) return new Refusal("too-large", error.message)
  if (error instanceof StorageError) {
    return new Refusal("internal", "the events could not be written and are not stored; the hub's log says why")
  }
  return undefined
}
