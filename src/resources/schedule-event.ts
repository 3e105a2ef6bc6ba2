import Type, { type Static } from "typebox"
import type { EventTemplate, Schedule } from "../core/schedules.ts"
import { InvalidEvent } from "../formats/invalid-event.ts"
import { eventOf, isOwnName } from "../sources/schedule/event.ts"
import { joinPath } from "./check-schema.ts"
import type { Faults } from "./faults.ts"
import { strict } from "./schemas.ts"

/** The hub holds the events of all schedules in memory. */
const templateBytesMax = 64 * 1024

/** What each event of a schedule has; `id` and `time` are the run's. */
export const TemplateInput = strict(
  {
    type: Type.String({ minLength: 1 }),
    source: Type.Optional(
      Type.String({ minLength: 1, description: "A URI reference. Default: `/schedules/` and the schedule's id." }),
    ),
    subject: Type.Optional(Type.String({ minLength: 1 })),
    data: Type.Optional(
      Type.Unsafe<unknown>({
        description: "Any JSON; a text where `dataContentType` is no JSON. Checked as published.",
      }),
    ),
    dataContentType: Type.Optional(Type.String({ minLength: 1, description: "What `data` is. Default: JSON." })),
    extensions: Type.Optional(
      Type.Record(
        Type.String({ pattern: "^[a-z0-9]+$" }),
        Type.Union([Type.String(), Type.Integer(), Type.Boolean()], {
          errorMessage: "must be a string, a whole number or a boolean",
        }),
        {
          additionalProperties: false,
          maxProperties: 64,
          unknownMessage: "must have a name of a-z and 0-9",
          description: "More attributes.",
        },
      ),
    ),
  },
  { description: "What each of its events has; its `id` and `time` are those of the run." },
)

const places: Readonly<Record<string, string>> = {
  ...{ type: "type", source: "source", subject: "subject", data: "data" },
  datacontenttype: "dataContentType",
}

/** The template, checked as an event that is published. */
export function readTemplate(
  body: Static<typeof TemplateInput>,
  of: Pick<Schedule, "id" | "incarnation">,
  eventBytesMax: number | undefined,
  faults: Faults,
): EventTemplate {
  if (!faults.clean("event")) return { type: "" }
  for (const name of Object.keys(body.extensions ?? {})) {
    if (isOwnName(name)) faults.add(`event.extensions.${name}`, "is no extension: the event has it from elsewhere")
  }
  if (!faults.clean("event")) return body
  const { data, ...rest } = body
  const template = data === undefined || data === null ? rest : body
  const event = eventOf({ ...of, event: template }, 0)
  if (event instanceof InvalidEvent) {
    for (const { field, message } of event.faults) faults.add(joinPath("event", placeOf(field)), message)
    if (event.faults.length === 0) faults.add("event", event.detail)
    return body
  }
  const most = Math.min(eventBytesMax ?? templateBytesMax, templateBytesMax)
  const bytes = event.attributesJson.length + (event.data?.length ?? 0)
  if (bytes > most) faults.add("event", `has ${bytes} bytes, and may have ${most} at most`)
  return template
}

function placeOf(attribute: string): string {
  return attribute === "" ? "" : (places[attribute] ?? `extensions.${attribute}`)
}
