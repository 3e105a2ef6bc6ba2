import Type, { type Static } from "typebox"
import { parseTopic } from "../core/address.ts"
import type { EventLog } from "../core/engine.ts"
import { InvalidCursorError } from "../core/errors.ts"
import type { Trigger } from "../core/resources.ts"
import { filtersFault } from "../filters/index.ts"
import { choice, component } from "./schemas.ts"

/** How a trigger fares. */
export const TriggerStatus = component(
  "TriggerStatus",
  Type.Object(
    {
      state: choice(["active", "paused", "resting"], {
        description: "resting: it cannot be matched, and loses nothing until it is put right.",
      }),
      reason: Type.Optional(Type.String({ description: "Why it is paused, or what is wrong with one that rests." })),
    },
    { readOnly: true },
  ),
)

/** Follows from the trigger alone, so that each process says the same as the one that routes for it. */
export function triggerStatus(trigger: Trigger, log: EventLog): Static<typeof TriggerStatus> {
  if (trigger.paused !== undefined) return { state: "paused", reason: trigger.paused.reason }
  const wrong = wrongWith(trigger, log)
  return wrong === undefined ? { state: "active" } : { state: "resting", reason: wrong }
}

function wrongWith({ filters, topic, from }: Trigger, log: EventLog): string | undefined {
  const address = parseTopic(topic)
  if (typeof address === "string") return `topic: ${address}`
  const fault = filtersFault(filters)
  if (fault !== undefined) return fault
  try {
    log.compare(from, from)
    return undefined
  } catch (error) {
    if (error instanceof InvalidCursorError) return `start: ${error.message}`
    throw error
  }
}
