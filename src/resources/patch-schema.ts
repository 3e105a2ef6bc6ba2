import type { TSchema } from "typebox"
import { isObject } from "./merge-patch.ts"
import { componentKeyword } from "./schemas.ts"

type Schema = Readonly<Record<string, unknown>>

/** The keyword of a schema that stands for another one: what a patch of that is. */
export const patchKeyword = "x-patch"

/**
 * The schema of a JSON merge patch (RFC 7396) of what `input` describes: any member may be left out, and null removes
 * those that `input` does not require. The id is no member to remove.
 */
export function patchSchemaOf(input: TSchema): TSchema {
  const { anyOf } = input as Schema
  const patch = Array.isArray(anyOf)
    ? named(input as Schema, { ...input, anyOf: anyOf.map((branch) => patchOf(branch as Schema)) })
    : patchOf(input as Schema)
  return patch as unknown as TSchema
}

function patchOf(schema: Schema): Schema {
  if (isObject(schema[patchKeyword])) return schema[patchKeyword]
  if (isObject(schema.properties)) return named(schema, patchOfObject(schema, schema.properties))
  if (isObject(schema.patternProperties)) {
    const patterns = Object.entries(schema.patternProperties)
    const patternProperties = Object.fromEntries(patterns.map(([name, of]) => [name, nullable(patchOf(of as Schema))]))
    return named(schema, { ...schema, patternProperties })
  }
  return schema
}

function patchOfObject(schema: Schema, members: Record<string, unknown>): Schema {
  const { required, examples, default: _, ...rest } = schema
  const needed = ["id", ...((required as readonly string[] | undefined) ?? [])]
  const properties = Object.entries(members).map(([name, member]) => {
    const { default: _, ...of } = patchOf(member as Schema)
    return [name, needed.includes(name) ? of : nullable(of)]
  })
  return { ...rest, properties: Object.fromEntries(properties) }
}

/** A component becomes another one: `Retention`, `RetentionPatch`. */
function named(of: Schema, patch: Schema): Schema {
  const name = of[componentKeyword]
  return typeof name === "string" ? { ...patch, [componentKeyword]: `${name.replace(/Input$/, "")}Patch` } : patch
}

function nullable(schema: Schema): Schema {
  const { description, ...of } = schema
  return { ...(description !== undefined && { description }), anyOf: [of, { type: "null" }] }
}
