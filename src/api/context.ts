import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { FastifyHttpOptions, FastifyInstance } from "fastify"
import type { Caller } from "../access/authorize.ts"
import type { HandshakeCallbacks } from "../access/callbacks.ts"
import type { HubIdentity } from "../access/identity/identity.ts"
import type { Chance, Clock } from "../core/clock.ts"
import type { DestinationKind } from "../core/destination.ts"
import type { Engine } from "../core/engine.ts"
import type { EventLog } from "../core/log.ts"
import type { Logger } from "../core/logger.ts"
import type { Schedule, ScheduleFailure } from "../core/schedules.ts"
import type { Secrets } from "../core/secrets.ts"
import type { DeliveryObserver } from "../deliver/hub.ts"
import type { WorkQueues } from "../queues/work-queues.ts"
import type { ResourceContext } from "../resources/context.ts"
import type { Places } from "./places.ts"
import type { AnswerRoom } from "./room.ts"
import type { Streams } from "./streams/streams.ts"
import type { Slots, Turns } from "./turns.ts"

/** What clients cost at present, by name, with what each means; `/metrics` shows them as `redcar_<name>`. */
export const apiFigures = {
  api_answer_bytes: "Bytes of answers that are being made, or wait for their clients.",
  api_exports_open: "Exports that are under way.",
  api_polls_open: "Requests that wait for work of a queue, or for events of a subscription.",
  api_streams_open: "Live streams that are open.",
  api_streams_unsent_bytes: "Bytes that wait for the clients of live streams.",
  api_streams_cut_total: "Clients of live streams that were cut off because they did not take what waited for them.",
} as const

export type ApiFigures = Readonly<Record<keyof typeof apiFigures, number>>

export interface ApiOptions {
  readonly engine: Engine
  readonly clock: Clock
  readonly chance: Chance
  /** Whose key an Authorization header holds; undefined: nobody's. */
  readonly authorize: (authorizationHeader: string | undefined) => Caller | undefined
  readonly kinds: ReadonlyMap<string, DestinationKind>
  readonly version: string
  /** Ends streams and exports; the hub is stopping. */
  readonly stop: AbortSignal
  /** What a topic is that nobody has made: whether a trigger or a publish makes it, and how. */
  readonly topics: { readonly autoCreate: boolean; readonly dedupeWindowMs: number }
  /** The text of /metrics, and whether it needs no key. Absent: /metrics is not found. */
  readonly metrics?: {
    readonly open: boolean
    render(): Promise<{ readonly contentType: string; readonly body: string }>
  }
  /** What this process does; without `api` it answers for its own state alone. Default: all. */
  readonly roles?: readonly string[]
  /** Default: secrets are stored as they are. */
  readonly secrets?: Secrets
  /** The URL at which others reach the hub; absent: they are not told. */
  readonly publicUrl?: string | undefined
  /** By what receivers know the hub; absent: it has no public URL, and signs no tokens. */
  readonly identity?: HubIdentity | undefined
  /** By what receivers may agree later to be sent to; absent as {@link ApiOptions.identity} is. */
  readonly callbacks?: HandshakeCallbacks | undefined
  /** It was started for looking only: nothing is routed, delivered or published. Default: no. */
  readonly held?: boolean
  /** Why the hub cannot work at present, besides what the engine says; empty when it can. */
  readonly readiness?: () => readonly string[]
  /** How many triggers this process should match and cannot. */
  readonly resting?: () => number
  /** The largest event that may be published; default: as settings have it. */
  readonly eventBytesMax?: number
  /** Why a schedule's run could not be published, where this process tries. */
  readonly scheduleFailure?: (schedule: Schedule) => ScheduleFailure | undefined
  /** Makes or takes the server whose requests `handler` answers; absent: fastify makes its own. */
  readonly serverFactory?: (handler: (request: IncomingMessage, response: ServerResponse) => void) => Server
  /** Makes what the routes are registered with; default: fastify. */
  readonly createApp?: (settings: FastifyHttpOptions<Server>) => FastifyInstance
  /** Is given what reads what clients cost at present. */
  readonly watch?: (read: () => ApiFigures) => void
  /** Told of each request that is answered 503 because there is too much to do. */
  readonly overloaded?: (detail: string) => void
  /** Told of what workers of queues do, as of other deliveries. */
  readonly deliveries?: DeliveryObserver
  /** Where errors that nobody expected are written. */
  readonly log?: Logger
}

/** What the handlers share. */
export interface ApiContext extends ApiOptions, ResourceContext {
  /** What answers that are being made, or wait for their clients, hold together. */
  readonly room: AnswerRoom
  /** Lets large readings have their turn. */
  readonly turns: Turns
  readonly streams: Streams
  readonly exports: Places
  readonly queues: WorkQueues
  /** The log with the delayed events, which `engine.log` leaves out here. */
  readonly delayedIn: EventLog
  /** Requests that wait for work, or for events. */
  readonly polls: Places
  /** Those of them that read what one event has woken them all for: each holds room while it reads. */
  readonly woken: Slots
}
