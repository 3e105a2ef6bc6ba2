import { Ajv2020 } from "ajv/dist/2020.js"
import addFormats from "ajv-formats"

export type Schema = Readonly<Record<string, unknown>>

export interface Parameter {
  readonly name: string
  readonly in: "path" | "query" | "header"
  readonly required?: boolean
  readonly schema: Schema
}

export interface Operation {
  readonly method: string
  readonly path: string
  readonly operationId: string
  readonly parameters: readonly Parameter[]
  readonly responses: Readonly<
    Record<
      string,
      { readonly description: string; readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }
    >
  >
  readonly requestBody?: {
    readonly required?: boolean
    readonly content: Readonly<Record<string, { readonly schema: Schema }>>
  }
}

/** One place in a request's body: what has to be there, and the whole body with something else there. */
export interface Place {
  /** As the hub names it: `retention.ageMax`, `filters[0]`; empty for the body itself. */
  readonly field: string
  readonly schema: Schema
  readonly wrap: (value: unknown) => unknown
}

/** What an OpenAPI document says of requests, and requests made of it. */
export interface Requests {
  readonly operations: readonly Operation[]
  /** Something valid; throws where nothing is found that is. */
  sample(schema: Schema): unknown
  places(schema: Schema): readonly Place[]
  valid(schema: Schema, value: unknown): boolean
  /** The schema that a reference leads to. */
  at(schema: Schema): Schema
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

export function requestsOf(document: Document): Requests {
  const ajv = new Ajv2020({ strict: false })
  addFormats.default(ajv)
  ajv.addSchema(document as unknown as Schema, "hub")
  const validators = new Map<Schema, ReturnType<Ajv2020["compile"]>>()
  const valid = (schema: Schema, value: unknown) => {
    const validate =
      validators.get(schema) ?? ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"hub#/')))
    validators.set(schema, validate)
    return validate(value) === true
  }
  const at = (schema: Schema): Schema => {
    const { $ref, ...said } = schema
    if (typeof $ref !== "string") return schema
    return { ...document.components.schemas[$ref.split("/").at(-1)!]!, ...said }
  }
  const sample = (schema: Schema) => {
    const made = sampleOf(at, schema)
    if (!valid(schema, made))
      throw new Error(`${JSON.stringify(made)} is not what ${JSON.stringify(schema)} wants: give it an example`)
    return made
  }
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      ...operation,
      parameters: operation.parameters ?? [],
      method: method.toUpperCase(),
      path,
    })),
  )
  return { operations, sample, valid, at, places: (schema) => [...placesOf(at, schema, "", (value) => value, [])] }
}

type At = Requests["at"]

function sampleOf(at: At, schema: Schema): unknown {
  const of = at(schema)
  const [example] = (of.examples as readonly unknown[] | undefined) ?? []
  if (example !== undefined) return example
  if ("const" in of) return of.const
  if (Array.isArray(of.enum)) return of.enum[0]
  if ("default" in of) return of.default
  const [branch] = branchesOf(of)
  if (branch !== undefined) return sampleOf(at, branch)
  switch ([of.type].flat()[0]) {
    case "object":
      return sampleObject(at, of)
    case "array":
      return Number(of.minItems ?? 0) > 0 ? [sampleOf(at, of.items as Schema)] : []
    case "integer":
    case "number":
      return of.minimum ?? 1
    case "boolean":
      return true
    default:
      return of.format === "date-time" ? "2026-01-31T12:00:00Z" : "x"
  }
}

function sampleObject(at: At, of: Schema): unknown {
  const properties = (of.properties ?? {}) as Record<string, Schema>
  const required = (of.required ?? []) as readonly string[]
  return Object.fromEntries(required.map((name) => [name, sampleOf(at, properties[name]!)]))
}

function branchesOf(of: Schema): readonly Schema[] {
  return (of.anyOf ?? of.oneOf ?? []) as readonly Schema[]
}

/** Every place that the schema has a word for, each component once on its way. */
function* placesOf(
  at: At,
  schema: Schema,
  field: string,
  wrap: Place["wrap"],
  seen: readonly unknown[],
  isBranch = false,
): Generator<Place> {
  if (!isBranch) yield { field, schema, wrap }
  if (schema.$ref !== undefined && seen.includes(schema.$ref)) return
  const of = at(schema)
  const on = schema.$ref === undefined ? seen : [...seen, schema.$ref]
  for (const branch of branchesOf(of)) yield* placesOf(at, branch, field, wrap, on, true)
  const base = isObject(of.properties) || isObject(of.additionalProperties) ? (sampleOf(at, schema) as object) : {}
  for (const [name, member] of Object.entries((of.properties ?? {}) as Record<string, Schema>)) {
    yield* placesOf(at, member, joined(field, name), (value) => wrap({ ...base, [name]: value }), on)
  }
  if (isObject(of.additionalProperties)) {
    yield* placesOf(at, of.additionalProperties, joined(field, "any"), (value) => wrap({ ...base, any: value }), on)
  }
  if (isObject(of.items)) yield* placesOf(at, of.items, `${field}[0]`, (value) => wrap([value]), on)
}

function joined(field: string, name: string): string {
  return field === "" ? name : `${field}.${name}`
}

function isObject(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
