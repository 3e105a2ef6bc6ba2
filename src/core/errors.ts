import type { Cursor } from "./cursor.ts"

/** Another write came first: the catalog holds `actual` where the caller expected `expected` (0: nothing). */
export class ConflictError extends Error {
  override readonly name = "ConflictError"
  readonly key: string
  readonly expected: number
  readonly actual: number
  constructor(key: string, expected: number, actual: number) {
    super(`${key} is at revision ${actual}, not ${expected}`)
    this.key = key
    this.expected = expected
    this.actual = actual
  }
}

/** A conditional append found another last event than it expected; `last` is undefined where there is none. */
export class ExpectedLastError extends Error {
  override readonly name = "ExpectedLastError"
  readonly last: Cursor | undefined
  constructor(last: Cursor | undefined) {
    super(last === undefined ? "no event is there yet" : `the last event is at ${last}`)
    this.last = last
  }
}

/** Someone else holds the lease now, or it has lapsed. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError"
  readonly delivery: string
  constructor(delivery: string) {
    super(`the lease on delivery ${delivery} is lost`)
    this.delivery = delivery
  }
}

/** Another process has this assignment now; nothing of the refused call was stored. */
export class AssignmentLostError extends Error {
  override readonly name = "AssignmentLostError"
  readonly assignment: string
  constructor(assignment: string) {
    super(`another process has ${assignment} now`)
    this.assignment = assignment
  }
}

/**
 * The engine takes nothing at present: more waits than it will hold, or it has nobody to store it. Nothing of the refused
 * call is acknowledged; after a while it may be taken.
 */
export class OverloadError extends Error {
  override readonly name = "OverloadError"
  readonly retryAfterMs: number
  constructor(retryAfterMs: number, why = "more is waiting to be written than fits") {
    super(why)
    this.retryAfterMs = retryAfterMs
  }
}

/** The disk has no room left for events; nothing of the refused call was stored. */
export class StorageFullError extends Error {
  override readonly name = "StorageFullError"
}

/** A write failed for another reason than room; what it held is not stored. */
export class StorageError extends Error {
  override readonly name = "StorageError"
}

/** The engine holds no event of this size; `message` says how much it does. */
export class EventTooLargeError extends StorageError {}

/** Nobody who stores answers at present: what was asked for is not known to be done, and may be asked for again. */
export class UnavailableError extends StorageError {}

/** Stored bytes no longer check. `where` names the file and the place in it. */
export class DamagedError extends Error {
  override readonly name = "DamagedError"
  readonly where: string
  constructor(where: string) {
    super(`damaged: ${where}`)
    this.where = where
  }
}

/** A text that no engine issued as a cursor. */
export class InvalidCursorError extends Error {
  override readonly name = "InvalidCursorError"
  readonly cursor: string
  constructor(cursor: string) {
    super(
      `${JSON.stringify(cursor)} is no cursor of this hub: one has eleven of 0-9 and a-z, as publishing and reading answer it`,
    )
    this.cursor = cursor
  }
}

/** The hub cannot run as things are. `message` says why, and `next` what to do, for people. */
export abstract class StartRefusedError extends Error {
  readonly next: readonly string[]
  constructor(message: string, next: readonly string[] = [], options?: ErrorOptions) {
    super(message, options)
    this.next = next
  }
}

/** The engine is closing or closed. */
export class ClosedError extends Error {
  override readonly name = "ClosedError"
  constructor() {
    super("the engine is closed")
  }
}

/** The hub does not take an event that it was asked to publish; `message` says why, for people. */
export class PublishRefusedError extends Error {
  override readonly name = "PublishRefusedError"
  /** Set where it may be taken after this much rest. */
  readonly retryAfterMs: number | undefined
  /** Whether it is for what the hub is in, and not for what the event is. */
  readonly isPassing: boolean
  constructor(detail: string, retryAfterMs?: number, isPassing = retryAfterMs !== undefined) {
    super(detail)
    this.retryAfterMs = retryAfterMs
    this.isPassing = isPassing
  }
}

/** Whether those who store may do later what they did not do now. */
export function isPassing(error: unknown): boolean {
  return error instanceof StorageError || error instanceof StorageFullError || error instanceof OverloadError
}
