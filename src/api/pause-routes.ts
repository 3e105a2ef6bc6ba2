import type { FastifyRequest } from "fastify"
import Type from "typebox"
import type { Stored } from "../resources/resource-type.ts"
import { component, strict } from "../resources/schemas.ts"
import type { Edit } from "../resources/store.ts"
import { readBody } from "./fields.ts"
import { changeOptions, IfMatchHeader, idParams, send } from "./resource-routes.ts"
import type { Resources } from "./resource-views.ts"
import { type App, documented, pathPart, tenantOf } from "./routes.ts"
import { ValidateOnlyQuery } from "./schemas.ts"

const PauseInput = component(
  "PauseInput",
  strict(
    {
      reason: Type.Optional(Type.String({ minLength: 1, maxLength: 1_000, description: "For those who look later." })),
    },
    { examples: [{ reason: "the shop is moving" }] },
  ),
)

/** What pausing and resuming a kind of resource are, and what the reference says of them. */
export interface Pausing<Resource> {
  /** As in `pauseTrigger`. */
  readonly name: string
  readonly tag: string
  readonly pausing: string
  readonly resuming: string
  pause(resource: Resource, reason: string): Resource
  /** May refuse. */
  resume(resource: Resource): Resource | Promise<Resource>
}

/** `POST …/pause` and `POST …/resume` of the resources under a path. */
export function pauseRoutes<Resource extends Stored>(
  app: App,
  path: string,
  resources: Resources<Resource>,
  pausing: Pausing<Resource>,
): void {
  const { store } = resources
  const change = async (request: FastifyRequest, edit: Edit<Resource>) =>
    resources.show(
      await store.edit(tenantOf(request), pathPart(request, "id"), changeOptions(request, store.type), edit),
    )
  app.post(`${path}/:id/pause`, documented(docOf(resources, pausing, "pause")), async (request, reply) => {
    const { reason = "paused by request" } = readBody(PauseInput, request.body)
    return send(reply, await change(request, (resource) => pausing.pause(resource, reason)))
  })
  app.post(`${path}/:id/resume`, documented(docOf(resources, pausing, "resume")), async (request, reply) =>
    send(reply, await change(request, (resource) => pausing.resume(resource))),
  )
}

function docOf<Resource extends Stored>(
  { view }: Resources<Resource>,
  { name, tag, pausing, resuming }: Pausing<Resource>,
  action: "pause" | "resume",
) {
  const isPause = action === "pause"
  return {
    operationId: `${action}${name}`,
    tag,
    summary: `${isPause ? "Pause" : "Resume"} a ${name.toLowerCase()}`,
    description: isPause ? pausing : resuming,
    params: idParams(name.toLowerCase()),
    query: ValidateOnlyQuery,
    headers: IfMatchHeader,
    ...(isPause && { body: PauseInput, bodyOptional: true }),
    answers: { 200: view.output },
    problems: ["not-found", "conflict", "precondition-failed"],
  } as const
}
