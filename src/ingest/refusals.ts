import { Refusal } from "./refusal.ts"

/** Parameters that are named in one answer at most. */
const errorsMax = 100

/** Whoever sends `validate_only` means that nothing be stored; a parameter that is not known is not passed over. */
export function unaskedParameters(url: string): Refusal | undefined {
  const query = url.indexOf("?")
  if (query < 0 || query === url.length - 1) return undefined
  const names = [...new Set(new URLSearchParams(url.slice(query + 1)).keys())]
  const errors = names
    .slice(0, errorsMax)
    .map((field) => ({ field, message: "is not known here; publishing has none" }))
  return new Refusal("invalid-argument", `${names[0]} is not known here: publishing has no parameters`, { errors })
}

/** Nobody who may publish. */
export const unauthenticated = new Refusal(
  "unauthenticated",
  "send the key of this hub: Authorization: Bearer rck_…; the admin key is in admin.key in the data directory",
)

/** The hub is held. */
export const onHold = new Refusal(
  "held",
  "this hub was started with --hold: it takes no events, so that a copy does not come to differ; start it without --hold to publish",
)

/** The content type is one that says a form of event, and not one of these. */
export const unsupported = new Refusal(
  "unsupported-media-type",
  "events come as application/cloudevents+json, application/cloudevents-batch+json or application/x-ndjson in UTF-8, " +
    "or with ce- headers and any other content type",
)

/** A bug. */
export const failed = new Refusal("internal", "the hub failed; its log says why")

/** The body is compressed or the like. */
export function encoded(encoding: string): Refusal {
  return new Refusal("unsupported-media-type", `the body is coded as ${encoding}; send it as it is, without that`)
}

/** The body is no batch. */
export function noBatch(detail: string): Refusal {
  return new Refusal("invalid-argument", `${detail}; nothing of the batch is stored`)
}

/** More events than one batch may have. */
export function tooMany(eventsMax: number): Refusal {
  return new Refusal("too-large", `a batch may have ${eventsMax} events at most (limits.batchEventsMax)`)
}

/** More bytes than one body may have. */
export function bodyTooLarge(bytesMax: number): Refusal {
  return new Refusal("too-large", `a body may have ${bytesMax} bytes at most; send it in parts`)
}
