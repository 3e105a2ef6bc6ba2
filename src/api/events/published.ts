import Type from "typebox"
import { jsonDepthMax } from "../../formats/json-scan.ts"
import { checkedElsewhere, component, componentKeyword, Timestamp } from "../../resources/schemas.ts"
import { ProblemSchema } from "../schemas.ts"

const attributes = {
  specversion: { const: "1.0" },
  id: { type: "string", minLength: 1, description: "With source, names the occurrence." },
  source: { type: "string", format: "uri-reference", minLength: 1 },
  type: { type: "string", minLength: 1 },
  subject: { type: "string", minLength: 1 },
  time: { type: "string", format: "date-time" },
  datacontenttype: { type: "string", minLength: 1 },
  dataschema: { type: "string", format: "uri", minLength: 1 },
  data: { description: `Any JSON, nested ${jsonDepthMax} levels at most; a string where datacontenttype is not JSON.` },
  data_base64: {
    type: "string",
    contentEncoding: "base64",
    description: "Instead of data, for bytes; of JSON where datacontenttype says so and they are.",
  },
}
const required = ["specversion", "id", "source", "type"]
const int32 = { minimum: -2_147_483_648, maximum: 2_147_483_647 }
const extension = { type: ["string", "integer", "boolean"], ...int32, description: "An extension attribute." }
/** What is sent may say null for what is not there. */
const orNull = { ...extension, type: [...extension.type, "null"] }
const sent = Object.fromEntries(
  Object.entries(attributes).map(([name, schema]) => [
    name,
    required.includes(name) || !("type" in schema) ? schema : { ...schema, type: [schema.type, "null"] },
  ]),
)

const example = {
  specversion: "1.0",
  id: "4711",
  source: "/shop",
  type: "order.placed",
  subject: "customer-123",
  datacontenttype: "application/json",
  data: { total: 42.5 },
}

export const EventSchema = {
  [componentKeyword]: "Event",
  type: "object",
  description: "A CloudEvents 1.0 event in the JSON format.",
  properties: sent,
  required,
  additionalProperties: orNull,
  examples: [example],
}

export const StoredEventSchema = {
  [componentKeyword]: "StoredEvent",
  type: "object",
  description:
    "An event as it is read: with where and when it was stored. Publishing drops these two, so it can be sent back.",
  properties: { ...attributes, redcarcursor: { type: "string" }, redcartime: Timestamp },
  required: [...required, "redcarcursor", "redcartime"],
  additionalProperties: extension,
}

const Accepted = component(
  "Accepted",
  Type.Object({
    id: Type.String(),
    cursor: Type.Optional(Type.String({ description: "Where it is in the log; absent of one that is delayed." })),
    delayed: Type.Optional(
      Type.Object(
        { id: Type.String({ description: "By which it can be cancelled." }), until: Timestamp },
        { description: "Its `deliverat` is in the future: nobody sees it until then." },
      ),
    ),
    duplicate: Type.Optional(
      Type.Boolean({
        description: "It was there already; this is the cursor of the first, and nothing is delivered again.",
      }),
    ),
  }),
)

const Refused = component(
  "Refused",
  Type.Object({
    index: Type.Integer({ description: "Its place in the request, from 0." }),
    id: Type.Optional(Type.String()),
    error: Type.Object({
      code: Type.String(),
      detail: Type.String(),
      errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), message: Type.String() }))),
    }),
  }),
)

const BatchAccepted = component(
  "BatchAccepted",
  Type.Object({
    accepted: Type.Integer(),
    rejected: Type.Integer(),
    results: Type.Array(Type.Union([Accepted, Refused]), { description: "In the order of the request." }),
  }),
)

const ConflictProblem = component(
  "ConflictProblem",
  Type.Object({
    ...ProblemSchema.properties,
    last: Type.Unsafe<string | null>({
      type: ["string", "null"],
      description: "The address's last event; null: it has none.",
    }),
  }),
)

/** The reference's entry for publishing, which is answered outside this API: `POST /v1/topics/{topic}/events`. */
export const publishOperation = {
  operationId: "publishEvents",
  tags: ["Events"],
  summary: "Publish events",
  description:
    "One event in CloudEvents binary mode (`ce-` headers, the body is its data) or structured mode, several as a JSON batch " +
    "or as NDJSON. Any other body without `ce-` headers is wrapped into an event by the topic's `wrap`. An answer of 202 " +
    "means that every event is on disk. In a batch the valid events are stored and the others named: 207.",
  parameters: [
    {
      name: "topic",
      in: "path",
      required: true,
      description: "A topic, or one key of it: `orders`, `orders:123`.",
      schema: { type: "string" },
    },
    {
      name: "redcar-expected-last",
      in: "header",
      description: "Store only if this cursor is the address's last event; `none`: only if it has none.",
      schema: { type: "string" },
    },
    {
      name: "idempotency-key",
      in: "header",
      description:
        "For raw input: becomes the event's id, so that a repeat within the topic's dedupe window is answered as a duplicate. " +
        "Refused beside events that have an id of their own, by which a repeat is known anyway.",
      schema: { type: "string", minLength: 1, maxLength: 512 },
    },
    ...["traceparent", "tracestate", "baggage"].map((name) => ({
      name,
      in: "header",
      description: "Kept as an extension attribute of events that have no such one, and sent with each delivery.",
      schema: { type: "string" },
    })),
  ],
  requestBody: {
    required: true,
    content: {
      "application/cloudevents+json": { schema: checkedElsewhere("Event") },
      "application/cloudevents-batch+json": { schema: Type.Array(checkedElsewhere("Event")) },
      "application/x-ndjson": { schema: Type.String({ description: "One structured event a line." }) },
      "*/*": { schema: Type.Unknown({ description: "The data of an event in binary mode, or raw input." }) },
    },
  },
  responses: {
    202: {
      description: "On disk.",
      content: { "application/json": { schema: Type.Union([Accepted, BatchAccepted]) } },
    },
    207: {
      description: "The valid ones are on disk, the others are named.",
      content: { "application/json": { schema: BatchAccepted } },
    },
    400: problem("None is valid. A batch's problem has its `results`.", ProblemSchema),
    401: problem("unauthenticated", ProblemSchema),
    408: problem("too-slow: the body came too slowly, or not at all.", ProblemSchema),
    409: problem("The address has another last event than redcar-expected-last says.", ConflictProblem),
    413: problem("too-large", ProblemSchema),
    415: problem("unsupported-media-type", ProblemSchema),
    503: problem(
      "overloaded: more waits to be written than the hub holds, see Retry-After; or held: the hub was started with --hold.",
      ProblemSchema,
    ),
    507: problem("storage-full", ProblemSchema),
  },
}

function problem(description: string, schema: object): object {
  return { description, content: { "application/problem+json": { schema } } }
}
