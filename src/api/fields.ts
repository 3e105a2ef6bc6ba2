import type { Static, TSchema } from "typebox"
import { checkSchema } from "../resources/check-schema.ts"
import { createFaults, type Faults } from "../resources/faults.ts"
import { isObject } from "../resources/merge-patch.ts"

/**
 * A body that the schema describes. `more` asks what the schema cannot say, and makes of it what the caller wants. Throws
 * RefusedError that names every wrong field. An absent body is `{}`: where one has to be there, it was asked for before.
 */
export function readBody<Schema extends TSchema, Result = Static<Schema>>(
  schema: Schema,
  body: unknown,
  more?: (fields: Static<Schema>, faults: Faults) => Result,
): Result {
  const value = body === undefined ? {} : body
  const faults = createFaults()
  checkSchema(schema, value, faults)
  const result = more === undefined || !isObject(value) ? (value as Result) : more(value as Static<Schema>, faults)
  faults.refuse()
  return result
}

/** As {@link readBody}, where `more` has to ask the engine. */
export async function readBodyWith<Schema extends TSchema, Result>(
  schema: Schema,
  body: unknown,
  more: (fields: Static<Schema>, faults: Faults) => Promise<Result | undefined>,
): Promise<Result> {
  const value = body === undefined ? {} : body
  const faults = createFaults()
  checkSchema(schema, value, faults)
  const result = isObject(value) ? await more(value as Static<Schema>, faults) : undefined
  faults.refuse()
  if (result === undefined) throw new TypeError("nothing was made of a body, and nothing is wrong with it")
  return result
}

/**
 * Query parameters that the schema describes, as its types: `"50"` is 50 where it wants an integer. `more` asks what the
 * schema cannot say, and makes of them what the caller wants. Throws RefusedError that names every wrong parameter,
 * unknown and repeated ones included.
 */
export function readQuery<Schema extends TSchema, Result = Static<Schema>>(
  schema: Schema,
  query: unknown,
  more?: (params: Static<Schema>, faults: Faults) => Result,
): Result {
  const properties = (schema as { properties?: Record<string, { type?: string }> }).properties ?? {}
  const faults = createFaults()
  const given = Object.entries(query as Record<string, string | string[]>)
  const values = Object.fromEntries(
    given.map(([name, text]) => {
      const type = Object.hasOwn(properties, name) ? properties[name]?.type : undefined
      return [name, convert(type, Array.isArray(text) ? text[0]! : text)]
    }),
  )
  for (const [name, text] of given) {
    if (!Array.isArray(text)) continue
    if (Object.hasOwn(properties, name)) faults.add(name, "is there more than once")
    else faults.addStranger(name, "is there more than once")
  }
  checkSchema(schema, values, faults)
  const result = more === undefined ? (values as Result) : more(values as Static<Schema>, faults)
  faults.refuse()
  return result
}

function convert(type: string | undefined, text: string): unknown {
  if (type === "integer" && /^-?\d{1,15}$/.test(text)) return Number(text)
  if (type === "boolean" && (text === "true" || text === "false")) return text === "true"
  return text
}
