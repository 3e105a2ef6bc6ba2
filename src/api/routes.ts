import type { FastifyInstance, FastifyRequest, FastifyServerOptions } from "fastify"
import type { TSchema } from "typebox"
import type { Caller } from "../access/authorize.ts"
import type { ProblemCode } from "./errors.ts"

declare module "fastify" {
  interface FastifyRequest {
    /** Whose request it is; undefined only on open routes. */
    caller: Caller | undefined
  }
  interface FastifyContextConfig {
    doc?: RouteDoc
    /** The route answers without a key; for routes that the reference does not describe. */
    open?: boolean
  }
}

/** What the reference says of a route. */
export interface RouteDoc {
  readonly operationId: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  readonly params?: TSchema
  readonly query?: TSchema
  readonly headers?: TSchema
  readonly body?: object
  /** The body may be left out. */
  readonly bodyOptional?: boolean
  /** Successes by status; null: no body. */
  readonly answers: Readonly<Record<number, object | null>>
  /** Problems besides those that every route has. */
  readonly problems?: readonly ProblemCode[]
  /** It answers what its body has lost of how it was written; elsewhere that is refused. */
  readonly answersLosses?: boolean
  /** Answers without a key. */
  readonly open?: boolean
  /** It is about the whole hub: takes a key with the right to operate it. */
  readonly operator?: boolean
}

/** A route's options: whether it is open, and what the reference says of it. */
export function documented(doc: RouteDoc): { readonly config: { readonly doc: RouteDoc } } {
  return { config: { doc } }
}

/** The tenant whose request this is. Only open routes have none, and those do not ask. */
export function tenantOf(request: FastifyRequest): string {
  if (request.caller === undefined) throw new Error("an open route asked for its caller")
  return request.caller.tenant
}

/** The value of a header that is there once. */
export function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name]
  return Array.isArray(value) ? value.join(", ") : value
}

/** One part of the path, decoded. */
export function pathPart(request: FastifyRequest, name: string): string {
  return (request.params as Record<string, string>)[name] ?? ""
}

export type App = FastifyInstance

type Compilers = NonNullable<NonNullable<FastifyServerOptions["schemaController"]>["compilersFactory"]>

/** The handlers check what comes in, and say more than fastify would. What it would load to do so takes 15 MB. */
export const noCompilers = {
  buildValidator: () => () => () => true,
  buildSerializer: () => () => (value: unknown) => JSON.stringify(value),
} as unknown as Compilers
