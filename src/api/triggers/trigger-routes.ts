import type { FastifyRequest } from "fastify"
import Type from "typebox"
import type { Trigger } from "../../core/resources.ts"
import { RefusedError } from "../../resources/refusal.ts"
import { component, strict } from "../../resources/schemas.ts"
import type { Edit } from "../../resources/store.ts"
import { hasDestination, paused, resumed } from "../../resources/triggers.ts"
import type { ApiContext } from "../context.ts"
import { readBody } from "../fields.ts"
import { changeOptions, IfMatchHeader, idParams, send } from "../resource-routes.ts"
import type { Resources } from "../resource-views.ts"
import { type App, documented, pathPart, tenantOf } from "../routes.ts"
import { ValidateOnlyQuery } from "../schemas.ts"

/** Why something is paused. */
export const PauseInput = component(
  "PauseInput",
  strict(
    {
      reason: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000, description: "For those who look later." })),
    },
    { examples: [{ reason: "the shop is moving" }] },
  ),
)

/** What triggers have beside the routes of every resource: pause and resume. */
export function triggerRoutes(app: App, context: ApiContext, triggers: Resources<Trigger>): void {
  const { store } = triggers
  const change = async (request: FastifyRequest, edit: Edit<Trigger>) =>
    triggers.show(
      await store.edit(tenantOf(request), pathPart(request, "id"), changeOptions(request, store.type), edit),
    )
  app.post("/v1/triggers/:id/pause", documented(doc(triggers, "pause")), async (request, reply) => {
    const { reason = "paused by request" } = readBody(PauseInput, request.body)
    const pause = (trigger: Trigger) => paused(trigger, reason, context.clock.now())
    return send(reply, await change(request, pause))
  })
  app.post("/v1/triggers/:id/resume", documented(doc(triggers, "resume")), async (request, reply) =>
    send(
      reply,
      await change(request, async (trigger) => {
        await requireDestination(context, trigger)
        return resumed(trigger)
      }),
    ),
  )
}

/** Throws RefusedError where there is nowhere to send to: the trigger would be paused again by its first delivery. */
async function requireDestination(context: ApiContext, { tenant, id, destination }: Trigger): Promise<void> {
  if (await hasDestination(context, tenant, destination)) return
  const why = `trigger ${id} sends to ${destination}, which does not exist`
  const next = `create destination ${destination}, or change the trigger's destination, then resume it`
  throw new RefusedError("conflict", `${why}; ${next}`)
}

function doc({ view }: Resources<Trigger>, action: "pause" | "resume") {
  const pausing = action === "pause"
  return {
    operationId: `${action}Trigger`,
    tag: "Triggers",
    summary: pausing ? "Pause a trigger" : "Resume a trigger",
    description: pausing
      ? "Nothing is lost: its events wait in the log, its deliveries in the queue."
      : "Delivers what was held back, and goes on.",
    params: idParams("trigger"),
    query: ValidateOnlyQuery,
    headers: IfMatchHeader,
    ...(pausing && { body: PauseInput, bodyOptional: true }),
    answers: { 200: view.output },
    problems: ["not-found", "conflict", "precondition-failed"],
  } as const
}
