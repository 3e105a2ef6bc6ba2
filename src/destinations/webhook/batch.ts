import { STATUS_CODES } from "node:http"
import Type, { type Static } from "typebox"
import type { Outcome } from "../../core/delivery.ts"
import type { Batch, BatchLimits, BatchSent } from "../../core/destination.ts"
import { Event } from "../../core/event.ts"
import { EventWriter } from "../../formats/json-encode.ts"
import { type Answer, bodyKeptBytes, oneLine, outcomeOf, shortened } from "./answer.ts"
import { webhookId } from "./webhook-id.ts"

/** Whether and how a receiver takes several events in one request. */
export const batchConfig = Type.Object(
  {
    eventsMax: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1_000, default: 100, description: "Events in one request at most." }),
    ),
    bytesMax: Type.Optional(
      Type.Integer({
        minimum: 1_024,
        maximum: 16_777_216,
        default: 1_048_576,
        description: "Bytes of a request's body at most; an event that is larger goes alone.",
      }),
    ),
    waitMs: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 10_000,
        default: 200,
        description: "Milliseconds for which an event may wait for others.",
      }),
    ),
    outcomes: Type.Optional(
      Type.Enum(["all", "each"], {
        type: "string",
        default: "all",
        description:
          "Whether an answer's status is said of all events (all), or its body says what became of each (each).",
      }),
    ),
  },
  {
    additionalProperties: false,
    description: "Events are sent in batches, as application/cloudevents-batch+json; absent: one by one.",
  },
)

export type BatchConfig = Static<typeof batchConfig>

/** The attribute by which each event of a batch says its delivery: what `webhook-id` is of one that is sent by itself. */
export const deliveryAttribute = "redcardelivery"
/** What is kept of an answer with the attempts that were made together. */
export const batchBodyKeptBytes = 512

export function batchLimits({ eventsMax = 100, bytesMax = 1_048_576, waitMs = 200 }: BatchConfig): BatchLimits {
  return { eventsMax, bytesMax, waitMs }
}

/** What has to be read of an answer that tells of each event. */
export function outcomesBytesMax({ eventsMax = 100 }: BatchConfig): number {
  return 65_536 + eventsMax * 1_024
}

/** The body of a batch: its events in the JSON batch format, each with {@link deliveryAttribute}. */
export function encodeBatch({ dispatches }: Batch): Uint8Array {
  const writer = new EventWriter()
  dispatches.forEach(({ stored: { event }, delivery }, i) => {
    writer.text(i === 0 ? "[" : ",")
    const attributes = { ...event.attributes, [deliveryAttribute]: webhookId(delivery.id) }
    writer.event(Event.of(attributes, event.data, event.dataKind))
  })
  writer.text("]")
  return writer.take()
}

/** What an answer that came at `now` (Unix milliseconds) says of a batch. */
export function batchSentOf(answer: Answer, batch: Batch, outcomes: BatchConfig["outcomes"], now: number): BatchSent {
  const isOne = batch.dispatches.length === 1
  const kept = shortened(answer, isOne ? bodyKeptBytes : batchBodyKeptBytes)
  const whole = outcomeOf(kept, now)
  if (outcomes !== "each" || whole.kind === "failed" || answer.status === 204) return { answer: whole }
  const told = outcomesIn(answer)
  if (typeof told === "string") return { answer: { ...whole, kind: "failed", detail: told, permanent: false } }
  const each = batch.dispatches.map(({ delivery }) => {
    const each = told.get(webhookId(delivery.id))
    return each === undefined ? unnamed : toldOutcome(each)
  })
  return { answer: whole, each }
}

interface ToldOutcome {
  readonly status: number
  readonly detail?: string
}

const unnamed: Outcome = { kind: "failed", detail: "the answer to its batch does not name it", permanent: false }

/** No event says that the destination is gone, or asks it for rest. */
function toldOutcome({ status, detail = "" }: ToldOutcome): Outcome {
  const line = `${status} ${oneLine(detail, 200) || (STATUS_CODES[status] ?? "")}`.trim()
  const response = { status, headers: {}, body: "", bodyEncoding: "utf8", bodyTruncated: false } as const
  if (status < 300) return { kind: "delivered", detail: line, response }
  return { kind: "failed", detail: line, permanent: false, response }
}

/** What the answer says of each, by `webhook-id`; a text: why that cannot be read. Of what is said twice a failure counts. */
function outcomesIn({ body, bodyTruncated }: Answer): ReadonlyMap<string, ToldOutcome> | string {
  if (bodyTruncated) return "the answer is too long, or broke off, to tell of each event"
  let list: unknown
  try {
    list = (JSON.parse(body.toString("utf8")) as { outcomes?: unknown } | null)?.outcomes
  } catch {
    list = undefined
  }
  if (!Array.isArray(list)) return 'the answer is no {"outcomes": […]}, which is to tell of each event'
  const told = new Map<string, ToldOutcome>()
  for (const each of list as readonly Partial<Record<"id" | "status" | "detail", unknown>>[]) {
    const { id, status, detail } = each ?? {}
    if (typeof id !== "string" || !isStatus(status)) continue
    const known = told.get(id)
    if (known !== undefined && (known.status < 200 || known.status > 299)) continue
    told.set(id, { status, ...(typeof detail === "string" && { detail }) })
  }
  return told
}

function isStatus(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 200 && (value as number) <= 599
}
