import Type from "typebox"
import type { Cursor } from "../../core/cursor.ts"
import type { Outcome } from "../../core/delivery.ts"
import { type Dispatch, type Sender, senderContext } from "../../core/destination.ts"
import { Event } from "../../core/event.ts"
import type { Destination } from "../../core/resources.ts"
import { noSecrets } from "../../core/secrets.ts"
import { issueSigningKey, rotate } from "../../destinations/signing.ts"
import { showSigningKey } from "../../resources/destinations.ts"
import { readDuration } from "../../resources/durations.ts"
import { RefusedError } from "../../resources/refusal.ts"
import { component, Duration, strict } from "../../resources/schemas.ts"
import { openedDestination } from "../../resources/sealing.ts"
import type { ResourceStore } from "../../resources/store.ts"
import type { ApiContext } from "../context.ts"
import { OutcomeSchema, showOutcome } from "../deliveries/deliveries.ts"
import { ProblemError } from "../errors.ts"
import { readBody, readQuery } from "../fields.ts"
import { pageSizeDefault, parsePageToken, toPage } from "../paging.ts"
import { preconditionOf } from "../preconditions.ts"
import { IfMatchHeader, idParams } from "../resource-routes.ts"
import { type App, documented, headerOf, pathPart, tenantOf } from "../routes.ts"
import { PageQuery, pageOf } from "../schemas.ts"
import { SigningKeyOutput } from "./destinations.ts"

/** How long an old key signs on beside the new one, where the caller says nothing. */
const overlapDefaultMs = 24 * 60 * 60 * 1000
/** Tests in flight at once; each holds a connection to somewhere. */
const testsMax = 16
/** No test takes longer, whatever the destination's own timeouts are. */
const testMs = 90_000

const RotateInput = component(
  "RotateInput",
  strict({ overlap: Type.Optional(Duration) }, { description: "How long the old key signs too. Default: 24h." }),
)

const KindSchema = component(
  "DestinationKind",
  Type.Object({
    kind: Type.String({ examples: ["webhook"] }),
    description: Type.String(),
    config: Type.Object({}, { description: "The JSON Schema of its config." }),
  }),
)

/** What destinations have beside the routes of every resource: their kinds, the rotation of their secret, and a test. */
export function destinationRoutes(app: App, context: ApiContext, store: ResourceStore<Destination>): void {
  const { kinds } = context
  app.get("/v1/destination-kinds", documented(docs.kinds), async (request) => {
    const { pageSize = pageSizeDefault, pageToken } = readQuery(strict(PageQuery), request.query)
    const query = ["destination-kinds"]
    const after = parsePageToken(query, pageToken) ?? ""
    const rest = [...kinds.values()].filter(({ kind }) => kind > after).sort((a, b) => (a.kind < b.kind ? -1 : 1))
    const page = toPage(query, rest, pageSize, ({ kind }) => kind)
    return { ...page, items: page.items.map(({ kind, description, config }) => ({ kind, description, config })) }
  })
  app.post("/v1/destinations/:id/rotate-secret", documented(docs.rotate), async (request) => {
    const overlapMs = readBody(RotateInput, request.body, ({ overlap }, faults) =>
      readDuration(overlap, "overlap", faults),
    )
    return rotateSecret(context, store, {
      tenant: tenantOf(request),
      id: pathPart(request, "id"),
      overlapMs: overlapMs ?? overlapDefaultMs,
      ifMatch: headerOf(request, "if-match"),
    })
  })
  const testing = { count: 0 }
  app.post("/v1/destinations/:id/test", documented(docs.test), async (request) => {
    if (context.held) throw onHold
    const { value: destination } = await store.find(tenantOf(request), pathPart(request, "id"))
    if (testing.count >= testsMax) {
      throw new ProblemError("overloaded", `${testsMax} tests are running already`, { headers: { "retry-after": "5" } })
    }
    testing.count++
    try {
      return await testDestination(context, destination)
    } finally {
      testing.count--
    }
  })
}

const onHold = new ProblemError(
  "held",
  "this hub was started with --hold: it sends nothing; start it without --hold to test a destination",
)

interface Rotation {
  readonly tenant: string
  readonly id: string
  readonly overlapMs: number
  readonly ifMatch: string | undefined
}

async function rotateSecret(context: ApiContext, store: ResourceStore<Destination>, rotation: Rotation) {
  const { tenant, id, overlapMs, ifMatch } = rotation
  const now = context.clock.now()
  const issued: { key?: ReturnType<typeof issueSigningKey> } = {}
  const precondition = preconditionOf(store.type, id, { ifMatch })
  await store.edit(tenant, id, { precondition }, (destination) => {
    const scheme = context.kinds.get(destination.kind)?.signing(destination.config)
    if (scheme === undefined) {
      throw new RefusedError("conflict", `destination ${id} signs nothing, so it has no secret to rotate`)
    }
    issued.key = issueSigningKey(scheme, now, context.chance)
    return { ...destination, signingKeys: rotate(destination.signingKeys, issued.key, overlapMs, now) }
  })
  return showSigningKey(issued.key!, true)
}

/** One event that says it is a test, sent as a delivery would be, and stored nowhere. */
async function testDestination(context: ApiContext, stored: Destination) {
  const { clock, kinds, secrets = noSecrets } = context
  const destination = openedDestination(secrets, stored)
  const kind = kinds.get(destination.kind)
  if (kind === undefined)
    throw new ProblemError("conflict", `this hub knows no destinations of kind ${destination.kind}`)
  if (kind.isPulled) {
    const detail = `destination ${destination.id} is a ${kind.kind}: nothing is sent there, so there is nothing to test`
    throw new ProblemError("conflict", detail)
  }
  const { identity, callbacks } = context
  const sender = await kind
    .open(destination.config, senderContext(destination, { publish: async () => {}, identity, callbacks }))
    .catch((error: Error) => {
      throw new ProblemError("conflict", `destination ${destination.id} cannot be opened: ${error.message}`)
    })
  const tooLate = new AbortController()
  const cancel = clock.after(testMs, () => tooLate.abort())
  const begunAt = clock.steady()
  try {
    const outcome = await send(context, sender, testDispatch(context, destination), tooLate.signal)
    return { ...showOutcome(outcome), durationMs: Math.round(clock.steady() - begunAt) }
  } finally {
    cancel()
    await sender.close()
  }
}

async function send({ stop }: ApiContext, sender: Sender, dispatch: Dispatch, tooLate: AbortSignal): Promise<Outcome> {
  return sender.send(dispatch, AbortSignal.any([tooLate, stop]))
}

function testDispatch({ clock, chance }: ApiContext, { tenant, id: destination }: Destination): Dispatch {
  const now = clock.now()
  const id = `test-${chance.id().toLowerCase()}`
  const cursor = id as Cursor
  const event = Event.of(
    {
      specversion: "1.0",
      id,
      source: "/redcar",
      type: "redcar.test",
      time: new Date(now).toISOString(),
      datacontenttype: "application/json",
    },
    Buffer.from(JSON.stringify({ destination })),
    "json",
  )
  return {
    stored: { address: { tenant, topic: "redcar.test" }, cursor, storedAt: now, event },
    delivery: { id, tenant, trigger: "redcar.test", incarnation: "", destination, cursor, fingerprint: 0 },
    attempt: 1,
    at: now,
  }
}

const tag = "Destinations"

const docs = {
  kinds: {
    operationId: "listDestinationKinds",
    tag,
    summary: "List the kinds of destinations",
    query: strict(PageQuery),
    answers: { 200: pageOf("DestinationKindPage", KindSchema) },
  },
  rotate: {
    operationId: "rotateSecret",
    tag,
    summary: "Issue a new signing key",
    description: "The answer shows a v1 secret this one time. The old key signs too until the overlap ends.",
    params: idParams("destination"),
    headers: IfMatchHeader,
    body: RotateInput,
    bodyOptional: true,
    answers: { 200: SigningKeyOutput },
    problems: ["not-found", "conflict", "precondition-failed"],
  },
  test: {
    operationId: "testDestination",
    tag,
    summary: "Send one test event",
    description: "An event of type `redcar.test`. The answer is the outcome; nothing is stored.",
    params: idParams("destination"),
    answers: { 200: component("TestOutcome", Type.Object({ ...OutcomeSchema.properties, durationMs: Type.Number() })) },
    problems: ["not-found", "conflict", "held", "overloaded"],
  },
} as const
