import { nearest } from "../../config/nearest.ts"
import { UsageError } from "../failures.ts"
import type { Hub } from "../hub.ts"
import { readJson } from "../json.ts"

/** A destination kind as the hub lists it. */
export interface ApiDestinationKind {
  readonly kind: string
  readonly description?: string
  /** The JSON Schema of its configuration. */
  readonly config: JsonSchema
}

/** The little of JSON Schema that flags are made from. */
interface JsonSchema {
  readonly type?: string | readonly string[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly const?: unknown
  readonly default?: unknown
}

/** The kinds that the hub knows. */
export async function destinationKinds(hub: Hub): Promise<readonly ApiDestinationKind[]> {
  const kinds: ApiDestinationKind[] = []
  for await (const kind of hub.items<ApiDestinationKind>("/v1/destination-kinds")) kinds.push(kind)
  return kinds
}

/** One flag of a kind's configuration. */
export interface KindFlag {
  /** `--timeout-ms` */
  readonly flag: string
  readonly property: string
  readonly required: boolean
  readonly description: string
  readonly schema: JsonSchema
}

/** What says where events go, whatever the kind; `--url` is the hub's, and `--topic` where events come from. */
const addresses: readonly string[] = ["url", "topic"]

/** `--timeout-ms` of `timeoutMs`. */
function flagOf(property: string): string {
  if (addresses.includes(property)) return "--to"
  return `--${property.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

/** The flags of a kind's configuration, in the schema's order. */
export function kindFlags(kind: ApiDestinationKind): readonly KindFlag[] {
  return Object.entries(kind.config.properties ?? {}).map(([property, schema]) => ({
    flag: flagOf(property),
    property,
    required: kind.config.required?.includes(property) ?? false,
    description: [schema.description, membersText(schema), choicesText(schema), defaultText(schema)]
      .filter((part) => part !== undefined)
      .join(" "),
    schema,
  }))
}

/** What the JSON of a flag that takes an object may have. */
function membersText({ properties = {} }: JsonSchema): string | undefined {
  const members = Object.keys(properties)
  return members.length === 0 ? undefined : `JSON with ${members.join(", ")}.`
}

function choicesText(schema: JsonSchema): string | undefined {
  const choices = choicesOf(schema)
  return choices === undefined ? undefined : `One of ${choices.join(", ")}.`
}

function defaultText(schema: JsonSchema): string | undefined {
  return schema.default === undefined ? undefined : `Default: ${JSON.stringify(schema.default)}.`
}

function choicesOf(schema: JsonSchema): readonly string[] | undefined {
  if (schema.enum !== undefined) return schema.enum.map(String)
  const constants = schema.anyOf?.map((each) => each.const)
  return constants?.every((each) => each !== undefined) ? constants.map(String) : undefined
}

/** What is left of a command line when the command's own flags are taken out: operands, and flags of the kind. */
export interface Leftover {
  readonly operands: readonly string[]
  readonly flags: readonly (readonly [flag: string, value: string])[]
}

/** Tells operands and unknown flags apart. `--flag value` and `--flag=value` both; a flag without a value is `true`. */
export function splitLeftover(words: readonly string[]): Leftover {
  const operands: string[] = []
  const flags: [string, string][] = []
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!
    const following = words[i + 1]
    const equals = word.indexOf("=")
    if (!word.startsWith("--")) operands.push(word)
    else if (equals > 0) flags.push([word.slice(0, equals), word.slice(equals + 1)])
    else if (following === undefined || following.startsWith("--")) flags.push([word, "true"])
    else {
      flags.push([word, following])
      i++
    }
  }
  return { operands, flags }
}

/** The configuration that the kind's flags and `--set name=value` say. Throws UsageError for a flag it has not. */
export function configOf(
  kind: ApiDestinationKind,
  flags: Leftover["flags"],
  pairs: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  const known = kindFlags(kind)
  const fromFlags = flags.map(([flag, text]) => {
    const match = known.find((each) => each.flag === flag)
    if (match === undefined) throw unknownFlag(kind, flag, known)
    return [match.property, coerced(match.schema, text, flag)] as const
  })
  const fromPairs = Object.entries(pairs).map(([property, text]) => {
    const schema = kind.config.properties?.[property]
    return [property, coerced(schema ?? {}, text, `--set ${property}`)] as const
  })
  return Object.fromEntries([...fromFlags, ...fromPairs])
}

function unknownFlag(kind: ApiDestinationKind, flag: string, known: readonly KindFlag[]): UsageError {
  const near = nearest(
    flag,
    known.map((each) => each.flag),
  )
  return new UsageError(`destinations of kind ${kind.kind} have no ${flag}`, [
    near === undefined ? `They have: ${known.map((each) => each.flag).join(", ")}` : `Did you mean ${near}?`,
  ])
}

/** The value that a text stands for where the schema wants another type; what does not fit is left to the hub to refuse. */
function coerced(schema: JsonSchema, text: string, flag: string): unknown {
  const types = [schema.type ?? []].flat()
  if (types.includes("string")) return text
  if (types.includes("integer") || types.includes("number")) {
    if (text.trim() === "" || Number.isNaN(Number(text)))
      throw new UsageError(`${flag} needs a number, not ${JSON.stringify(text)}`)
    return Number(text)
  }
  if (types.includes("boolean")) {
    if (text !== "true" && text !== "false")
      throw new UsageError(`${flag} is true or false, not ${JSON.stringify(text)}`)
    return text === "true"
  }
  if (types.includes("array") && !text.trimStart().startsWith("[")) return text.split(",").map((each) => each.trim())
  if (types.includes("array") || types.includes("object")) return parsed(text, flag)
  return text
}

function parsed(text: string, flag: string): unknown {
  const value = readJson(text, false)
  if (value instanceof SyntaxError) throw new UsageError(`${flag} needs JSON: ${value.message}`, [], { cause: value })
  if (value instanceof Error) throw new UsageError(`${flag} cannot be kept as it is: ${value.message}`)
  return value
}
