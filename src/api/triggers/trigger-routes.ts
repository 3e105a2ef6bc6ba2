import type { Trigger } from "../../core/resources.ts"
import { RefusedError } from "../../resources/refusal.ts"
import { hasDestination, paused, resumed } from "../../resources/triggers.ts"
import type { ApiContext } from "../context.ts"
import { pauseRoutes } from "../pause-routes.ts"
import type { Resources } from "../resource-views.ts"
import type { App } from "../routes.ts"

/** What triggers have beside the routes of every resource: pause and resume. */
export function triggerRoutes(app: App, context: ApiContext, triggers: Resources<Trigger>): void {
  pauseRoutes(app, "/v1/triggers", triggers, {
    name: "Trigger",
    tag: "Triggers",
    pausing: "Nothing is lost: its events wait in the log, its deliveries in the queue.",
    resuming: "Delivers what was held back, and goes on.",
    pause: (trigger, reason) => paused(trigger, reason, context.clock.now()),
    async resume(trigger) {
      await requireDestination(context, trigger)
      return resumed(trigger)
    },
  })
}

/** Throws RefusedError where there is nowhere to send to: the trigger would be paused again by its first delivery. */
async function requireDestination(context: ApiContext, { tenant, id, destination }: Trigger): Promise<void> {
  if (await hasDestination(context, tenant, destination)) return
  const why = `trigger ${id} sends to ${destination}, which does not exist`
  const next = `create destination ${destination}, or change the trigger's destination, then resume it`
  throw new RefusedError("conflict", `${why}; ${next}`)
}
