import type { Static, TSchema } from "typebox"
import { Errors } from "typebox/schema"
import { Settings } from "typebox/system"
import { durationForm, parseDuration } from "./durations.ts"
import { type FieldError, invalidFields } from "./errors.ts"
import { isObject } from "./merge-patch.ts"

/** Wrong fields named in one answer at most. */
const errorsMax = 100

/** What is wrong with a body, field by field, gathered before anything is answered. */
export interface Faults {
  readonly errors: readonly FieldError[]
  add(field: string, message: string): void
  /** Whether nothing is wrong at this field or within it, so that more can be asked of it. */
  clean(field: string): boolean
  /** Throws ProblemError where there are any. */
  refuse(): void
}

export function createFaults(): Faults {
  const errors: FieldError[] = []
  return {
    errors,
    add(field, message) {
      const known = errors.some((error) => error.field === field && error.message === message)
      if (!known && errors.length < errorsMax) errors.push({ field, message })
    },
    clean(field) {
      return !errors.some((error) => isWithin(error.field, field))
    },
    refuse() {
      if (errors.length > 0) throw invalidFields(errors)
    },
  }
}

/** Gathers what the schema has against `value`. `prefix` is the path that `value` has in the body. */
export function checkSchema(schema: object, value: unknown, faults: Faults, prefix = ""): void {
  Settings.Set({ maxErrors: errorsMax })
  const [, errors] = Errors(schema, value)
  const inUnions = errors.filter((error) => error.keyword === "anyOf" || error.keyword === "oneOf")
  for (const error of errors) {
    // The branches of a union all fail; what is said is what the union wants.
    if (inUnions.some((union) => error.schemaPath.startsWith(`${union.schemaPath}/${union.keyword}/`))) continue
    for (const fault of describe(error as SchemaError, schema, value)) {
      faults.add(joinPath(prefix, fault.path), fault.message)
    }
  }
}

/**
 * A body that the schema describes. `more` asks what the schema cannot say, and makes of it what the caller wants. Throws
 * ProblemError that names every wrong field. An absent body is `{}`.
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

/** A duration in milliseconds; undefined where it is absent or a fault, which is noted. */
export function readDuration(value: unknown, field: string, faults: Faults): number | undefined {
  if (value === undefined || !faults.clean(field)) return undefined
  const ms = parseDuration(value)
  if (ms === undefined) faults.add(field, `must be ${durationForm}`)
  return ms
}

/**
 * Query parameters that the schema describes, as its types: `"50"` is 50 where it wants an integer. `more` asks what the
 * schema cannot say, and makes of them what the caller wants. Throws ProblemError that names every wrong parameter,
 * unknown and repeated ones included.
 */
export function readQuery<Schema extends TSchema, Result = Static<Schema>>(
  schema: Schema,
  query: unknown,
  more?: (params: Static<Schema>, faults: Faults) => Result,
): Result {
  const properties = (schema as { properties?: Record<string, { type?: string }> }).properties ?? {}
  const faults = createFaults()
  const values: Record<string, unknown> = {}
  for (const [name, text] of Object.entries(query as Record<string, string | string[]>)) {
    if (Array.isArray(text)) faults.add(name, "is there more than once")
    values[name] = convert(properties[name]?.type, Array.isArray(text) ? text[0]! : text)
  }
  checkSchema(schema, values, faults)
  const result = more === undefined ? (values as Result) : more(values as Static<Schema>, faults)
  faults.refuse()
  return result
}

/** A JSON path out of its parts: `filters[0].exact`, `labels["a.b"]`. */
export function formatPath(parts: readonly string[]): string {
  return parts.reduce((path, part) => joinPath(path, /^\d+$/.test(part) ? `[${part}]` : named(part)), "")
}

/** The path `rest` below `prefix`. */
export function joinPath(prefix: string, rest: string): string {
  if (prefix === "" || rest === "") return prefix + rest
  return rest.startsWith("[") ? prefix + rest : `${prefix}.${rest}`
}

interface SchemaError {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly params: Readonly<Record<string, unknown>>
  readonly message: string
}

type Described = readonly { readonly path: string; readonly message: string }[]

function describe(error: SchemaError, schema: object, value: unknown): Described {
  const parts = pointerParts(error.instancePath)
  const path = formatPath(parts)
  const at = resolve(schema, pointerParts(error.schemaPath.slice(1))) as Record<string, unknown> | undefined
  const within = (names: unknown, message: string) =>
    (names as string[]).map((name) => ({ path: formatPath([...parts, name]), message }))
  switch (error.keyword) {
    case "boolean":
      return [] // said better by additionalProperties
    case "required":
      return within(error.params.requiredProperties, "is required")
    case "additionalProperties":
      return within(error.params.additionalProperties, unknownField(at))
    case "enum":
    case "const":
      return [{ path, message: `must be ${oneOf(error.params.allowedValues ?? [error.params.allowedValue])}` }]
    default:
      return [{ path, message: wanted(at, error, value === undefined) }]
  }
}

function unknownField(schema: Record<string, unknown> | undefined): string {
  if (typeof schema?.unknownMessage === "string") return schema.unknownMessage
  const known = isObject(schema?.properties) ? Object.keys(schema.properties) : []
  return known.length === 0 ? "is not known here" : `is not known here; the fields are ${known.join(", ")}`
}

/** `errorMessage` of the schema says best what it wants; the keyword's own message is what remains. */
function wanted(schema: Record<string, unknown> | undefined, error: SchemaError, absent: boolean): string {
  if (typeof schema?.errorMessage === "string") return schema.errorMessage
  if (absent) return "is required"
  const branches = (schema?.anyOf ?? schema?.oneOf) as readonly Record<string, unknown>[] | undefined
  if (branches?.every((branch) => "const" in branch)) return `must be ${oneOf(branches.map((branch) => branch.const))}`
  if (error.keyword === "type") return `must be ${article(String(error.params.type ?? schema?.type))}`
  return error.message
}

function oneOf(values: unknown): string {
  const texts = (values as unknown[]).map((value) => JSON.stringify(value))
  return texts.length === 1 ? texts[0]! : `one of ${texts.join(", ")}`
}

function article(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`
}

function convert(type: string | undefined, text: string): unknown {
  if (type === "integer" && /^-?\d{1,15}$/.test(text)) return Number(text)
  if (type === "boolean" && (text === "true" || text === "false")) return text === "true"
  return text
}

function pointerParts(pointer: string): string[] {
  if (pointer === "") return []
  return pointer
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
}

function resolve(schema: unknown, parts: readonly string[]): unknown {
  return parts.reduce<unknown>((at, part) => (at as Record<string, unknown> | undefined)?.[part], schema)
}

function named(part: string): string {
  return /^[A-Za-z_$][\w$-]*$/.test(part) ? part : `[${JSON.stringify(part)}]`
}

function isWithin(field: string, outer: string): boolean {
  return field === outer || field.startsWith(`${outer}.`) || field.startsWith(`${outer}[`)
}
