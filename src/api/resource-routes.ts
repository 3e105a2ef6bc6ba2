import type { FastifyReply, FastifyRequest } from "fastify"
import Type, { type TSchema } from "typebox"
import type { Labels } from "../core/resources.ts"
import { patchSchemaOf } from "../resources/patch-schema.ts"
import { invalidFields } from "../resources/refusal.ts"
import type { ResourceType, Stored } from "../resources/resource-type.ts"
import { component, strict } from "../resources/schemas.ts"
import type { ChangeOptions, Precondition } from "../resources/store.ts"
import type { ApiContext } from "./context.ts"
import { readQuery } from "./fields.ts"
import { pageSizeDefault } from "./paging.ts"
import { preconditionOf } from "./preconditions.ts"
import type { Resources, ResourceView, Shown } from "./resource-views.ts"
import { type App, documented, headerOf, pathPart, type RouteDoc, tenantOf } from "./routes.ts"
import { PageQuery, pageOf, ValidateOnlyQuery } from "./schemas.ts"

const ListQuery = strict({
  ...PageQuery,
  labels: Type.Optional(
    Type.String({ description: "Only those that have all of these labels: `team=payments,tier=1`." }),
  ),
})

/** The six routes that every resource has: create, list, read, replace, patch and delete. */
export function resourceRoutes<Resource extends Stored>(
  app: App,
  { room }: Pick<ApiContext, "room">,
  resources: Resources<Resource>,
): void {
  const { store, view } = resources
  const { type } = store
  const path = `/v1/${type.plural}`
  const docs = resourceDocs({ ...type, ...view })

  app.post(path, documented(docs.create), async (request, reply) => {
    const options = changeOptions(request)
    const shown = resources.show(await store.create(tenantOf(request), request.body, options))
    if (!options.validateOnly) tellPlace(reply, path, shown)
    return send(reply, shown)
  })
  app.get(path, documented(docs.list), async (request) => {
    const { pageSize = pageSizeDefault, pageToken, labels } = readQuery(ListQuery, request.query)
    const query = { tenant: tenantOf(request), pageSize, pageToken, labels: parseLabels(labels) }
    return resources.list(query, room.shareOf(request))
  })
  app.get(`${path}/:id`, documented(docs.get), async (request, reply) =>
    send(reply, await resources.get(tenantOf(request), pathPart(request, "id"))),
  )
  app.put(`${path}/:id`, documented(docs.replace), async (request, reply) => {
    const options = changeOptions(request, type)
    const shown = resources.show(await store.replace(tenantOf(request), pathPart(request, "id"), request.body, options))
    if (shown.isNew && !options.validateOnly) tellPlace(reply, path, shown)
    return send(reply, shown)
  })
  app.patch(`${path}/:id`, documented(docs.patch), async (request, reply) => {
    const options = changeOptions(request, type)
    const written = await store.patch(tenantOf(request), pathPart(request, "id"), request.body, options)
    return send(reply, resources.show(written))
  })
  app.delete(`${path}/:id`, documented(docs.remove), async (request, reply) => {
    const options = removalOptions(request, type, view)
    const { item, forced } = await store.remove(tenantOf(request), pathPart(request, "id"), options)
    if (forced !== undefined) return forced
    return options.validateOnly || options.force ? send(reply, resources.showItem(item)) : reply.code(204).send()
  })
}

/** Answers 201 and where the resource is that was made. */
function tellPlace(reply: FastifyReply, path: string, { body }: Shown): void {
  reply.code(201).header("location", `${path}/${encodeURIComponent(String(body.id))}`)
}

/** What a change asks besides its body; `type`: of what is to be there, or not. */
export function changeOptions(request: FastifyRequest, type?: { readonly name: string }): ChangeOptions {
  const query = readQuery(ValidateOnlyQuery, request.query)
  return { ...(type && { precondition: preconditionIn(request, type) }), validateOnly: query.validate_only }
}

/** What its headers ask of the resource that its path names; If-None-Match is of a PUT alone. */
function preconditionIn(request: FastifyRequest, type: { readonly name: string }): Precondition {
  return preconditionOf(type, pathPart(request, "id"), {
    ifMatch: headerOf(request, "if-match"),
    ifNoneMatch: request.method === "PUT" ? headerOf(request, "if-none-match") : undefined,
  })
}

/** Answers a resource with its ETag. */
export function send(reply: FastifyReply, shown: Shown): Record<string, unknown> {
  if (shown.etag !== undefined) reply.header("etag", shown.etag)
  return shown.body
}

/** `a=1,b=2` as labels. Throws ProblemError. */
export function parseLabels(text: string | undefined): Labels {
  if (text === undefined || text === "") return {}
  const pairs = text.split(",").map((pair) => {
    const equals = pair.indexOf("=")
    if (equals < 1) throw invalidFields([{ field: "labels", message: "must be name=value, several parted by commas" }])
    return [pair.slice(0, equals).trim(), pair.slice(equals + 1).trim()] as const
  })
  return Object.fromEntries(pairs)
}

/** The path parameter that names a resource. */
export function idParams(name: string) {
  return Type.Object({ id: Type.String({ description: `The ${name}'s id.` }) })
}

/** The header that a change of one revision only sends. */
export const IfMatchHeader = Type.Object({
  "if-match": Type.Optional(Type.String({ description: "Change only this revision: the resource's etag." })),
})

/** The same of a PUT, which can be for what is not there alone. */
const PutHeaders = Type.Object({
  ...IfMatchHeader.properties,
  "if-none-match": Type.Optional(Type.String({ description: "`*`: make it, and replace nothing.", examples: ["*"] })),
})

type Docs = Readonly<Record<"create" | "list" | "get" | "replace" | "patch" | "remove", RouteDoc>>

type Described = Pick<ResourceType<Stored>, "name" | "plural" | "input"> &
  Pick<ResourceView<Stored>, "tag" | "output" | "forced">

function removalOptions(
  request: FastifyRequest,
  type: { readonly name: string },
  { forced }: Pick<Described, "forced">,
): ChangeOptions {
  if (forced === undefined) return changeOptions(request, type)
  const { validate_only, force } = readQuery(forcedQuery(forced.description), request.query)
  return { precondition: preconditionIn(request, type), validateOnly: validate_only, force }
}

function forcedQuery(description: string) {
  return strict({
    ...ValidateOnlyQuery.properties,
    force: Type.Optional(Type.Boolean({ default: false, description })),
  })
}

function resourceDocs(type: Described): Docs {
  const { name, plural, tag, input, output } = type
  const Name = capital(name)
  const one = { tag, params: idParams(name), answers: { 200: output } }
  return {
    ...changeDocs(type),
    create: {
      operationId: `create${Name}`,
      tag,
      summary: `Create a ${name}`,
      query: ValidateOnlyQuery,
      body: input,
      answers: { 201: output, 200: validated(output) },
      problems: ["already-exists", "conflict"],
    },
    list: {
      operationId: `list${capital(plural)}`,
      tag,
      summary: `List ${plural}`,
      query: ListQuery,
      answers: { 200: pageOf(`${Name}Page`, output) },
    },
    get: { ...one, operationId: `get${Name}`, summary: `Read a ${name}`, problems: ["not-found"] },
  }
}

function changeDocs({ name, tag, input, output, forced }: Described): Pick<Docs, "replace" | "patch" | "remove"> {
  const Name = capital(name)
  const one = { tag, params: idParams(name), query: ValidateOnlyQuery, headers: IfMatchHeader }
  const problems = ["not-found", "conflict", "precondition-failed"] as const
  const patch = { schema: patchSchemaOf(input) }
  return {
    replace: {
      ...one,
      operationId: `replace${Name}`,
      summary: `Make or replace a ${name}`,
      description: "What the body leaves out is put back to its default. Where there is none of this id, it is made.",
      headers: PutHeaders,
      body: replacementOf(Name, input),
      answers: { 200: output, 201: output },
      problems,
    },
    patch: {
      ...one,
      operationId: `update${Name}`,
      summary: `Change a ${name}`,
      description: "A JSON merge patch (RFC 7396): members given replace, null removes.",
      body: { content: { "application/merge-patch+json": patch } },
      answers: { 200: output },
      problems,
    },
    remove: {
      ...one,
      operationId: `delete${Name}`,
      summary: `Delete a ${name}`,
      query: forced ? forcedQuery(forced.description) : ValidateOnlyQuery,
      answers: { 204: null, 200: forced ? { anyOf: [validated(output), forced.output] } : validated(output) },
      problems,
    },
  }
}

/** Where the path names the resource, the body need not. */
function replacementOf(name: string, input: TSchema): TSchema {
  const { required } = input as { readonly required?: readonly string[] }
  if (!required?.includes("id")) return input
  return component(`${name}Replacement`, { ...input, required: required.filter((each) => each !== "id") } as TSchema)
}

function capital(word: string): string {
  return word.charAt(0).toUpperCase() + word.slice(1)
}

function validated(output: TSchema): object {
  return { ...output, description: "With validate_only: what would be." }
}
