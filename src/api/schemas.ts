import { type TSchema, type TSchemaOptions, Type } from "typebox"
import { attemptsTopic, deadLettersTopic } from "../core/address.ts"
import { durationForm } from "./durations.ts"
import { statusOf } from "./errors.ts"
import { pageSizeDefault, pageSizeMax } from "./paging.ts"

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

/** What the hub adds to every resource. */
export const resourceFields = {
  tenant: Type.String({ readOnly: true, examples: ["default"] }),
  createdAt: Type.String({ format: "date-time", readOnly: true }),
  updatedAt: Type.String({ format: "date-time", readOnly: true }),
  etag: Type.Optional(
    Type.String({
      readOnly: true,
      description: "Send it as If-Match to change only this revision. Absent where nothing is stored (validate_only).",
      examples: ['"3"'],
    }),
  ),
}

export const ProblemSchema = component(
  "Problem",
  Type.Object(
    {
      type: Type.String({ examples: ["about:blank"] }),
      title: Type.String({ examples: ["Bad Request"] }),
      status: Type.Integer({ examples: [400] }),
      code: choice(Object.keys(statusOf)),
      detail: Type.String({ description: "What went wrong and what to do next." }),
      errors: Type.Optional(
        Type.Array(
          Type.Object({
            field: Type.String({ description: "A JSON path into the request.", examples: ["filters[0].exact.type"] }),
            message: Type.String(),
          }),
          { description: "Every wrong field." },
        ),
      ),
    },
    { description: "Why a request was refused (RFC 9457)." },
  ),
)

export const PageQuery = {
  pageSize: Type.Optional(
    Type.Integer({ minimum: 1, maximum: pageSizeMax, default: pageSizeDefault, description: "Items a page at most." }),
  ),
  pageToken: Type.Optional(Type.String({ description: "The `nextPageToken` of the page before." })),
}

export const ValidateOnlyQuery = strict({
  validate_only: Type.Optional(
    Type.Boolean({ default: false, description: "Check everything, store nothing, answer what would be." }),
  ),
})

/** The answer of a list of `items`. */
export function pageOf(name: string, items: TSchema): TSchema {
  return component(
    name,
    Type.Object({
      items: Type.Array(items),
      nextPageToken: Type.Optional(Type.String({ description: "Absent on the last page." })),
    }),
  )
}

export const Filter = {
  [componentKeyword]: "Filter",
  description: "Yes or no over one event, in exactly one dialect.",
  oneOf: [
    dialect("exact", attributeTexts("The attributes have exactly these values.")),
    dialect("prefix", attributeTexts("The attributes begin with these texts.")),
    dialect("suffix", attributeTexts("The attributes end with these texts.")),
    dialect("all", { type: "array", minItems: 1, items: filterReference(), description: "All of these hold." }),
    dialect("any", {
      type: "array",
      minItems: 1,
      items: filterReference(),
      description: "At least one of these holds.",
    }),
    dialect("not", filterReference()),
    dialect("sql", text("CloudEvents SQL 1.0, and JSON data beyond it.", "type = 'order.paid' AND data.total > 10")),
    dialect("pattern", {
      type: "object",
      description: "An EventBridge event pattern over the whole event.",
      examples: [{ type: ["order.paid"], data: { total: [{ numeric: [">", 10] }] } }],
    }),
    dialect("path", attributeTexts("The attributes match these path patterns: `/customers/*/orders/**`.")),
    dialect("query", text("One line for people and URLs.", "type == 'order.paid' and data.total > 10")),
  ],
  examples: [{ exact: { type: "order.placed" } }],
} as const

function text(description: string, example: string) {
  return { type: "string", minLength: 1, description, examples: [example] }
}

function filterReference() {
  return { [componentKeyword]: "Filter" }
}

function dialect(name: string, schema: object) {
  return { type: "object", required: [name], properties: { [name]: schema }, additionalProperties: false }
}

function attributeTexts(description: string) {
  return { type: "object", minProperties: 1, additionalProperties: { type: "string", minLength: 1 }, description }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
