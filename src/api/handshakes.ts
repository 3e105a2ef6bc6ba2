import type { FastifyReply, FastifyRequest } from "fastify"
import Type from "typebox"
import type { Destination } from "../core/resources.ts"
import { allowedRate } from "../destinations/webhook/handshake/consents.ts"
import { component } from "../resources/schemas.ts"
import type { ApiContext } from "./context.ts"
import { notFound } from "./errors.ts"
import { type App, documented, headerOf, pathPart } from "./routes.ts"

const path = "/v1/handshakes/:token"

const Agreed = component("HandshakeAgreed", Type.Object({ agreed: Type.Literal(true) }))

/** Where receivers that were asked whether they agree to be sent to say so later, each at a URL of its own. */
export function handshakeRoutes(app: App, { callbacks, kinds }: ApiContext): void {
  const askedOf = ({ kind, config, ratePerSecond }: Destination) => kinds.get(kind)?.asks?.(config, ratePerSecond)
  const agree = async (request: FastifyRequest, reply: FastifyReply) => {
    reply.header("cache-control", "no-store").header("referrer-policy", "no-referrer")
    const header = headerOf(request, "webhook-allowed-rate")
    const rate = ({ perMinute }: { readonly perMinute?: number | undefined }) => allowedRate(header, perMinute)
    const isAgreed = await callbacks?.agree(pathPart(request, "token"), askedOf, rate)
    if (isAgreed !== true) throw notFound(gone)
    return { agreed: true }
  }
  // Who only looks whether it is there has not agreed.
  app.get(path, { ...documented(docs.get), exposeHeadRoute: false }, agree)
  app.post(path, { ...documented(docs.post), onRequest: leaveUnread }, agree)
}

/** What comes along, of whatever type, says nothing: it is as if there were none, and is let run out behind the answer. */
function leaveUnread({ headers }: FastifyRequest, _: FastifyReply, done: () => void): void {
  for (const name of ["content-type", "content-length", "transfer-encoding"]) delete headers[name]
  done()
}

const gone =
  "this is no callback of a handshake, or it was called already, or its time is over; the hub gives out another when it asks next"

const shared = {
  tag: "Destinations",
  description:
    "For receivers of webhooks with a `handshake`, which are told this URL in `webhook-request-callback`. It is good once, for a " +
    "day, and needs no key. A `webhook-allowed-rate` says how many deliveries a minute they take.",
  params: Type.Object({ token: Type.String({ description: "As the URL has it." }) }),
  headers: Type.Object({
    "webhook-allowed-rate": Type.Optional(
      Type.String({ description: "Deliveries a minute at most, or `*`. Default: as was asked.", examples: ["120"] }),
    ),
  }),
  answers: { 200: Agreed },
  problems: ["not-found", "overloaded"],
  open: true,
} as const

const docs = {
  get: { ...shared, operationId: "agreeToHandshake", summary: "Agree to be sent to, by a link" },
  post: { ...shared, operationId: "agreeToHandshakeByPost", summary: "Agree to be sent to" },
} as const
