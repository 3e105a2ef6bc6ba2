import { type TSchema, type TSchemaOptions, Type } from "typebox"
import { attemptsTopic, deadLettersTopic } from "../core/address.ts"
import { durationForm } from "./durations.ts"

/**
 * The schema keyword that names a component of the OpenAPI document. A schema that bears it is written there once, and
 * referred to everywhere else; validation does not look at it.
 */
export const componentKeyword = "x-component"

/** `schema` as a component of the OpenAPI document. */
export function component<Schema extends TSchema>(name: string, schema: Schema): Schema {
  return { ...schema, [componentKeyword]: name }
}

/** Stands for a component whose validation is done elsewhere, by code that says more than a schema can. */
export function checkedElsewhere<Value = unknown>(name: string, options: TSchemaOptions = {}) {
  return Type.Unsafe<Value>({ ...options, [componentKeyword]: name })
}

/** An object that refuses members it does not know. */
export function strict<Properties extends Record<string, TSchema>>(
  properties: Properties,
  options: TSchemaOptions = {},
) {
  return Type.Object(properties, { ...options, additionalProperties: false })
}

/** One of these texts. */
export function choice<const Values extends readonly string[]>(values: Values, options: TSchemaOptions = {}) {
  return Type.Unsafe<Values[number]>({ type: "string", enum: values, ...options })
}

export const Duration = component(
  "Duration",
  Type.Union([Type.String({ pattern: "^[0-9]+([.][0-9]+)?(ms|s|m|h|d)$" }), Type.Integer({ minimum: 0 })], {
    description: `${capital(durationForm)}. Answers use the largest unit that is exact.`,
    errorMessage: `must be ${durationForm}`,
    examples: ["10s", "24h", 1500],
  }),
)

export const Timestamp = Type.String({ format: "date-time", examples: ["2026-01-31T12:00:00.000Z"] })

export const idPattern = "^[a-z0-9][a-z0-9-]{0,62}$"

export const ResourceId = Type.String({
  pattern: idPattern,
  errorMessage: "must be 1 to 63 of a-z, 0-9 and -, and not begin with -",
})

export const TopicId = Type.String({
  pattern: `^([a-z0-9_-]{1,50}|${[attemptsTopic, deadLettersTopic].join("|").replaceAll(".", "[.]")})$`,
  errorMessage: "must be 1 to 50 of a-z, 0-9, _ and -",
  examples: ["orders"],
})

export const Description = Type.String({ maxLength: 1_000, description: "For people." })

const labelName = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$"
const labelRule = "must be 1 to 63 of A-Z, a-z, 0-9 and ._/-, and begin with a letter or digit"

export const LabelsInput = component(
  "Labels",
  Type.Record(
    Type.String({ pattern: labelName }),
    // Commas part the pairs of a list's labels parameter.
    Type.String({
      pattern: "^[^,\\x00-\\x1f\\x7f-\\x9f]{0,255}$",
      errorMessage: "must be at most 255 characters with no comma among them",
    }),
    {
      additionalProperties: false,
      maxProperties: 64,
      unknownMessage: labelRule,
      description: "Names and values to find it by.",
      examples: [{ team: "payments" }],
    },
  ),
)

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
