import { Compile, Errors } from "typebox/schema"
import { Settings } from "typebox/system"
import type { Faults } from "./faults.ts"
import { isObject } from "./merge-patch.ts"

/** Wrong places within one value of a body that are told at most. */
const errorsMax = 100

/**
 * Gathers what the schema has against `value`; `prefix` is the path that `value` has in the body. Whether the value is
 * valid is decided by the schema itself: where nothing can be told of what is wrong, `prefix` is wrong as a whole.
 */
export function checkSchema(schema: object, value: unknown, faults: Faults, prefix = ""): void {
  if (accepts(schema, value)) return
  const before = faults.count
  checkValue(schema as Schema, value, faults, prefix)
  if (faults.count === before) faults.add(prefix, wanted(schema as Schema, undefined))
}

/** By the schema: compiled once, it is some fifty times as fast as what tells of errors. */
const compiled = new WeakMap<object, { Check(value: unknown): boolean }>()

function accepts(schema: object, value: unknown): boolean {
  let known = compiled.get(schema)
  if (known === undefined) {
    known = Compile(schema)
    compiled.set(schema, known)
  }
  return known.Check(value)
}

/** Gathers what a JSON merge patch would remove that the schema does not know: nothing of it is seen in what it makes. */
export function checkRemovals(schema: object, patch: unknown, faults: Faults, prefix = ""): void {
  if (!isStrict(schema as Schema) || !isObject(patch)) return
  const { properties } = schema as Strict
  for (const [name, value] of Object.entries(patch)) {
    const field = joinPath(prefix, named(name))
    if (Object.hasOwn(properties, name)) checkRemovals(properties[name]!, value, faults, field)
    else if (value === null) faults.add(field, unknownField(schema as Schema))
  }
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

type Schema = Readonly<Record<string, unknown>>

interface Strict extends Schema {
  readonly properties: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
}

interface SchemaError {
  readonly keyword: string
  readonly schemaPath: string
  readonly instancePath: string
  readonly params: Readonly<Record<string, unknown>>
  readonly message: string
}

function checkValue(schema: Schema, value: unknown, faults: Faults, prefix: string): void {
  if (isStrict(schema) && isObject(value)) checkMembers(schema, value, faults, prefix)
  else checkWhole(schema, value, faults, prefix)
}

/** An object whose members are all named by its schema: each is checked by itself, so that none hides another. */
function isStrict(schema: Schema): schema is Strict {
  return schema.type === "object" && isObject(schema.properties) && schema.additionalProperties === false
}

function checkMembers(schema: Strict, value: Record<string, unknown>, faults: Faults, prefix: string): void {
  const { properties, required = [] } = schema
  for (const [name, member] of Object.entries(properties)) {
    const field = joinPath(prefix, named(name))
    if (Object.hasOwn(value, name) && value[name] !== undefined) checkValue(member, value[name], faults, field)
    else if (required.includes(name)) faults.add(field, "is required")
  }
  for (const name of Object.keys(value)) {
    if (Object.hasOwn(properties, name)) continue
    const field = joinPath(prefix, named(name))
    if (prefix === "") faults.addStranger(field, unknownField(schema))
    else faults.add(field, unknownField(schema))
  }
}

function checkWhole(schema: Schema, value: unknown, faults: Faults, prefix: string): void {
  Settings.Set({ maxErrors: errorsMax })
  const [valid, errors] = Errors(schema, value) as [boolean, readonly SchemaError[]]
  if (valid) return
  const before = faults.count
  // The branches of a union all fail; what is said is what the union wants.
  const unions = errors.filter(({ keyword }) => keyword === "anyOf" || keyword === "oneOf")
  const isBranch = ({ schemaPath }: SchemaError) =>
    isUnion(schema) || unions.some((union) => schemaPath.startsWith(`${union.schemaPath}/${union.keyword}/`))
  for (const error of errors) {
    if (isBranch(error)) continue
    for (const fault of describe(error, schema)) faults.add(joinPath(prefix, fault.path), fault.message)
  }
  if (faults.count === before) faults.add(prefix, value === undefined ? "is required" : wanted(schema, errors[0]))
}

function isUnion(schema: Schema): boolean {
  return Array.isArray(schema.anyOf) || Array.isArray(schema.oneOf)
}

function describe(error: SchemaError, schema: Schema): readonly { readonly path: string; readonly message: string }[] {
  const parts = pointerParts(error.instancePath)
  const path = formatPath(parts)
  const keywords = pointerParts(error.schemaPath.slice(1))
  const at = resolve(schema, keywords)
  switch (error.keyword) {
    case "boolean":
      return [{ path, message: unknownField(resolve(schema, keywords.slice(0, -1))) }]
    case "required":
      return (error.params.requiredProperties as string[]).map((name) => ({
        path: formatPath([...parts, name]),
        message: "is required",
      }))
    case "additionalProperties":
      return [] // said of each of them
    default:
      return [{ path, message: wanted(at, error) }]
  }
}

function unknownField(schema: Schema | undefined): string {
  if (typeof schema?.unknownMessage === "string") return schema.unknownMessage
  const known = isObject(schema?.properties) ? Object.keys(schema.properties) : []
  return known.length === 0 ? "is not known here" : `is not known here; the fields are ${known.join(", ")}`
}

/** `errorMessage` of the schema says best what it wants; the keyword's own message is what remains. */
function wanted(schema: Schema | undefined, error: SchemaError | undefined): string {
  if (typeof schema?.errorMessage === "string") return schema.errorMessage
  const { enum: choices, const: only } = schema ?? {}
  if (Array.isArray(choices)) return `must be ${oneOf(choices)}`
  if (schema !== undefined && "const" in schema) return `must be ${oneOf([only])}`
  const branches = (schema?.anyOf ?? schema?.oneOf) as readonly Schema[] | undefined
  if (branches?.every((branch) => "const" in branch)) return `must be ${oneOf(branches.map((branch) => branch.const))}`
  if (error?.keyword === "type") return `must be ${article(String(error.params.type ?? schema?.type))}`
  return error?.message ?? "is not what it has to be; the reference at /docs says what is wanted"
}

function oneOf(values: readonly unknown[]): string {
  const texts = values.map((value) => JSON.stringify(value))
  return texts.length === 1 ? texts[0]! : `one of ${texts.join(", ")}`
}

function article(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`
}

function pointerParts(pointer: string): string[] {
  if (pointer === "") return []
  return pointer
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
}

function resolve(schema: Schema, parts: readonly string[]): Schema | undefined {
  return parts.reduce<unknown>((at, part) => (at as Schema | undefined)?.[part], schema) as Schema | undefined
}

function named(part: string): string {
  return /^[A-Za-z_$][\w$-]*$/.test(part) ? part : `[${JSON.stringify(part)}]`
}
