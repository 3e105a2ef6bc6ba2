import type { ServerResponse } from "node:http"
import type { Clock } from "../core/clock.ts"

/** Bytes gathered before they are written, so that one write carries hundreds of events. */
export const flushBytes = 192 * 1024
/** The writer's first buffer: room for a flush and an event beyond, so that it rarely grows. */
export const bufferBytes = 256 * 1024

/**
 * Writes and, where the client is slow, waits until it has caught up; false once it is gone. A client that takes nothing
 * for `stallMs` is cut off.
 */
export async function write(
  response: ServerResponse,
  bytes: Uint8Array | string,
  clock: Clock,
  stallMs: number,
): Promise<boolean> {
  if (response.destroyed) return false
  if (response.write(bytes)) return true
  return new Promise((resolve) => {
    const settle = () => {
      cancel()
      response.off("drain", settle)
      response.off("close", settle)
      resolve(!response.destroyed)
    }
    const cancel = clock.after(stallMs, () => {
      response.destroy()
      settle()
    })
    response.once("drain", settle)
    response.once("close", settle)
  })
}
