import { ClosedError, OverloadError, StorageError, StorageFullError } from "../../../core/errors.ts"

/** Whether the store takes nothing now, as a full disk does: work that can wait then tries again later. */
export function isRefusal(error: unknown): boolean {
  return (
    error instanceof StorageFullError ||
    error instanceof StorageError ||
    error instanceof OverloadError ||
    error instanceof ClosedError
  )
}
