import { type TSchema, Type } from "typebox"
import { choice, component, componentKeyword, strict } from "../resources/schemas.ts"
import { statusOf } from "./errors.ts"
import { pageSizeDefault, pageSizeMax } from "./paging.ts"

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
