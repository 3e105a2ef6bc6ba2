import type { Cursor } from "../../../core/cursor.ts"
import { type Delivery, deliveryId } from "../../../core/delivery.ts"
import {
  AssignmentLostError,
  LeaseLostError,
  OverloadError,
  StorageError,
  StorageFullError,
  UnavailableError,
} from "../../../core/errors.ts"

/** A delivery in a request; the id only where it does not follow from the rest, `null` where more comes after it; so is the order key. */
export type PackedDelivery = readonly [
  tenant: string,
  trigger: string,
  incarnation: string,
  destination: string,
  cursor: string,
  fingerprint: number,
  id?: string | null,
  orderKey?: string | null,
  replay?: string,
]

export function pack(delivery: Delivery): PackedDelivery {
  const { id, tenant, trigger, incarnation, destination, cursor, fingerprint, orderKey, replay } = delivery
  const packed = [tenant, trigger, incarnation, destination, cursor, fingerprint] as const
  const named = id === deliveryId(cursor, trigger, incarnation) ? undefined : id
  if (replay !== undefined) return [...packed, named ?? null, orderKey ?? null, replay]
  if (orderKey !== undefined) return [...packed, named ?? null, orderKey]
  return named === undefined ? packed : [...packed, named]
}

/** The inverse of {@link pack}. */
export function unpack(packed: PackedDelivery): Delivery {
  const [tenant, trigger, incarnation, destination, text, fingerprint, named, orderKey, replay] = packed
  const cursor = text as Cursor
  const id = named ?? deliveryId(cursor, trigger, incarnation)
  return {
    ...{ id, tenant, trigger, incarnation, destination, cursor, fingerprint },
    ...(typeof orderKey === "string" && { orderKey }),
    ...(replay !== undefined && { replay }),
  }
}

/** An error in an answer: errors are told apart by class, so the class goes along by its name. */
export interface PackedError {
  readonly name: string
  readonly message: string
  readonly share?: string
  readonly delivery?: string
  readonly retryAfterMs?: number
}

/** An AssignmentLostError on the wire, where processes of earlier versions know it by this name. */
const assignmentLost = "ShareLostError"

export function packError(error: unknown): PackedError {
  if (!(error instanceof Error)) return { name: "Error", message: String(error) }
  const { message } = error
  const name = error instanceof UnavailableError ? "UnavailableError" : error.name
  if (error instanceof AssignmentLostError) return { name: assignmentLost, message, share: error.assignment }
  if (error instanceof LeaseLostError) return { name, message, delivery: error.delivery }
  if (error instanceof OverloadError) return { name, message, retryAfterMs: error.retryAfterMs }
  return { name, message }
}

/** The inverse of {@link packError}. */
export function unpackError({ name, message, share, delivery, retryAfterMs }: PackedError): Error {
  switch (name) {
    case assignmentLost:
      return new AssignmentLostError(share ?? "")
    case "LeaseLostError":
      return new LeaseLostError(delivery ?? "")
    case "OverloadError":
      return new OverloadError(retryAfterMs ?? 1_000, message)
    case "StorageFullError":
      return new StorageFullError(message)
    case "UnavailableError":
    case "ClosedError":
      return new UnavailableError(message)
    case "StorageError":
    case "DamagedError":
      return new StorageError(message)
    case "RangeError":
      return new RangeError(message)
    default:
      return new Error(message)
  }
}

/** Cuts a list where the JSON of its items comes to `bytesMax`; at least one list, and in each at least one item if there are any. */
export function cut<T>(items: readonly T[], bytesMax: number): readonly (readonly T[])[] {
  const lists: T[][] = [[]]
  let size = 0
  for (const item of items) {
    const bytes = Buffer.byteLength(JSON.stringify(item)) + 1
    if (size > 0 && size + bytes > bytesMax) {
      lists.push([])
      size = 0
    }
    lists.at(-1)!.push(item)
    size += bytes
  }
  return lists
}
