import type { LightMyRequestResponse } from "fastify"
import { type Operation, urlOf } from "./operations.ts"
import type { Asked } from "./process.ts"
import { InvariantError } from "./record.ts"
import type { Workplace } from "./workplace.ts"

/** A request to the API of the hub that runs. */
export interface Call {
  readonly operation: Operation
  /** Whose key it carries; `operator` has no events, and all rights. */
  readonly tenant: string
  readonly parameters?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly body?: object
  readonly headers?: Readonly<Record<string, string>>
}

/** Any JSON, looked into as it is expected to be. */
// biome-ignore lint/suspicious/noExplicitAny: what an answer should hold is for its caller to know
export type Json = any

export interface Answer {
  readonly status: number
  readonly text: string
  readonly body: Json
}

export function answerOf(response: LightMyRequestResponse): Answer {
  const text = response.body
  const isJson =
    /json/.test(String(response.headers["content-type"])) && !/ndjson/.test(String(response.headers["content-type"]))
  return { status: response.statusCode, text, body: isJson && text !== "" ? JSON.parse(text) : undefined }
}

/** What may be answered to anybody at any time: the hub cannot just now. */
const passing = [503, 507]

/** Calls the API; `onAsk` is when there is a hub to ask. Whatever it answers is an answer that its reference names. */
export async function call(place: Workplace, request: Call, onAsk = () => {}): Promise<Asked<Answer>> {
  const { world, processes } = place
  const { operation, tenant, parameters } = request
  const what = `${operation.id} of ${tenant} ${Object.values(parameters ?? {}).join(" ")}`
  const asked = await processes.ask(what, (hub) => {
    onAsk()
    return hub.call(request)
  })
  if (asked.kind === "refused") world.fail(asked.error)
  if (asked.kind !== "answered") return asked
  const { status, text } = asked.value
  world.trace.line(`${operation.id}: ${status}`)
  world.record.count("calls")
  const isDamaged = world.record.damage.count > 0 && /damaged/.test(text)
  if (isDamaged) return asked
  if (status === 500) world.fail(new Error(`${what} was answered ${status}: ${text}`))
  if (!operation.statuses.has(status) && !passing.includes(status)) {
    world.violate(new InvariantError(7, `${what} was answered ${status}, which its reference does not name: ${text}`))
  }
  return asked
}

/** The request as it comes to the API. */
export function injectionOf({ operation, tenant, parameters, query, body, headers }: Call) {
  return {
    method: operation.method,
    url: urlOf(operation, parameters, query),
    headers: { authorization: `Bearer ${tenant}`, ...headers },
    ...(body !== undefined && { payload: body }),
  }
}
