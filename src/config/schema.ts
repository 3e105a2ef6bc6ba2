import { type Static, type TInteger, type TObject, type TSchema, Type } from "typebox"

/** How a setting's value is written: decides how its text is read, and how the docs show it. */
export type Unit = "bytes" | "ms" | "count" | "text" | "boolean" | "choice" | "list"

/** A duration: written `24h` under its plain name, held in milliseconds under the name with `Ms`. */
interface TDuration extends TInteger {
  readonly unit: "ms"
}

interface Range {
  readonly minimum: number
  readonly maximum: number
}

const KiB = 2 ** 10
const MiB = 2 ** 20
const GiB = 2 ** 30
const second = 1_000
const day = 86_400_000

function bytes(byDefault: number, range: Range, description: string) {
  return Type.Integer({ description, default: byDefault, unit: "bytes", ...range })
}

function duration(byDefault: number, range: Range, description: string): TDuration {
  return Type.Integer({ description, default: byDefault, unit: "ms", ...range }) as TDuration
}

function count(byDefault: number, range: Range, description: string) {
  return Type.Integer({ description, default: byDefault, unit: "count", ...range })
}

function text(byDefault: string, description: string) {
  return Type.String({ description, default: byDefault, unit: "text", minLength: 1 })
}

function boolean(byDefault: boolean, description: string) {
  return Type.Boolean({ description, default: byDefault, unit: "boolean" })
}

/** A boolean whose default depends on other settings; `derived` says how, in the words of the docs. */
function derivedBoolean(derived: string, description: string) {
  return Type.Boolean({ description, derived, unit: "boolean" })
}

function choice<const T extends readonly string[]>(values: T, byDefault: T[number], description: string) {
  return Type.Unsafe<T[number]>({ type: "string", enum: values, description, default: byDefault, unit: "choice" })
}

function list(description: string, byDefault: readonly string[] = []) {
  return Type.Array(Type.String(), { description, default: byDefault, unit: "list" })
}

function group<P extends Record<string, TSchema>>(properties: P) {
  return Type.Object(properties, { additionalProperties: false })
}

/**
 * Every setting, declared once. From here come the flags of `redcar serve`, the environment's names, the file's form,
 * the type {@link Settings} and docs/settings.md.
 */
export const settingsSchema = group({
  host: text("127.0.0.1", "The address to listen on. `0.0.0.0` or `::` listens on every interface."),
  port: count(9000, { minimum: 0, maximum: 65_535 }, "The TCP port to listen on. 0 takes any free one."),
  publicUrl: text(
    "",
    "The URL at which others reach the hub, such as `https://hub.example.com`: the issuer of the identity tokens that it signs, and where receivers call back. Default: none, and it does without both.",
  ),
  data: text("./data", "The directory that holds everything. It is made at the first start."),
  engine: text(
    "embedded",
    "What makes events durable: `embedded` needs nothing but the data directory; `nats://host:4222`, or several with commas, is NATS JetStream, which many processes share.",
  ),
  roles: list(
    "What this process does, of `ingest`, `route`, `deliver` and `api`. Other processes of the same NATS servers may do the rest.",
    ["ingest", "route", "deliver", "api"],
  ),
  hold: boolean(
    false,
    "Whether to start for looking only, on a copy or a restored folder: resources can be read and changed and events be read, but nothing is routed, delivered or dropped by retention, and publishing is refused.",
  ),
  requireDurable: boolean(
    false,
    "Whether to refuse to start where an acknowledged event could be lost with one server or one power supply.",
  ),
  adminKey: text(
    "",
    "The admin key, `rck_` and 43 characters, where several processes are to take the same one. As a variable, others do not see it. Default: the one in `<data>/admin.key`, which the first start makes.",
  ),
  secretsKey: list(
    "The keys that encrypt the secrets of destinations before they are stored: each 32 bytes in base64, or the name of a file that holds some, one a line. The first encrypts, all decrypt. As a variable or a file, others do not see them. Default: secrets are stored as they are.",
  ),
  logLevel: choice(
    ["trace", "debug", "info", "warn", "error", "silent"],
    "info",
    "The least serious log line that is written.",
  ),
  logFormat: choice(["auto", "pretty", "json"], "auto", "`auto` is pretty on a terminal and JSON lines elsewhere."),
  topicsAutoCreate: boolean(true, "Whether the first publish to a topic makes it."),
  dedupeWindow: duration(
    day,
    { minimum: 0, maximum: 365 * day },
    "How long a new topic recognises a repeated `source` + `id`, as long as its retention keeps the event. 0 recognises none.",
  ),
  metricsOpen: boolean(
    false,
    "Whether `/metrics` answers without a key. Else it takes the operator's: the one in `admin.key`.",
  ),
  limits: group({
    eventBytesMax: bytes(512 * KiB, { minimum: KiB, maximum: MiB }, "The largest event: its attributes and its data."),
    batchEventsMax: count(10_000, { minimum: 1, maximum: 100_000 }, "Events in one publish request at most."),
    bodyBytesMax: bytes(16 * MiB, { minimum: KiB, maximum: 256 * MiB }, "The largest body of a publish request."),
    bulkEventsMax: count(100_000, { minimum: 1, maximum: 10_000_000 }, "Events in one NDJSON request at most."),
    bulkBytesMax: bytes(
      64 * MiB,
      { minimum: KiB, maximum: 64 * GiB },
      "The largest body of an NDJSON request, which is stored as it comes in and never held whole.",
    ),
    bodiesInFlightBytesMax: bytes(
      128 * MiB,
      { minimum: KiB, maximum: 64 * GiB },
      "Bodies of publish requests held in memory at once. More are answered 503 with Retry-After.",
    ),
    pendingBytesMax: bytes(
      64 * MiB,
      { minimum: MiB, maximum: 16 * GiB },
      "Events waiting to be written to the log. More are answered 503 with Retry-After.",
    ),
    segmentBytes: bytes(64 * MiB, { minimum: MiB, maximum: GiB }, "The size of one file of the log."),
    diskReserveBytes: bytes(
      64 * MiB,
      { minimum: 0, maximum: 1024 * GiB },
      "Room on the disk that events leave free. Publishing is answered 507 once less is left.",
    ),
  }),
  delivery: group({
    lease: duration(
      60 * second,
      { minimum: second, maximum: 3600 * second },
      "How long a delivery in progress is hidden from other workers. After a crash it is tried again this much later.",
    ),
    inFlightMax: count(1024, { minimum: 1, maximum: 65_536 }, "Deliveries in progress at once, over all destinations."),
    tenants: list(
      "What tenants have of it, as `acme weight=4 inFlightMax=50 ratePerSecond=1000`, each of the three where it is wanted: the part where it is contended (1), deliveries in progress at once, attempts begun per second, over all destinations of the tenant in each process that delivers. `*` is all that are not named.",
    ),
    shutdownGrace: duration(
      10 * second,
      { minimum: 0, maximum: 600 * second },
      "How long a stop waits for deliveries and requests in progress.",
    ),
  }),
  destinations: group({
    allowLoopback: derivedBoolean(
      "only when `host` is a loopback address",
      "Whether destinations may be on this machine's loopback addresses.",
    ),
    allowPrivate: boolean(
      false,
      "Whether destinations may be in private address ranges (RFC 1918, fc00::/7). Link-local ones need `allow`.",
    ),
    allow: list("Address ranges (CIDR) that destinations may be in whatever the two settings above say."),
    origin: text(
      "",
      "The DNS name in which the hub asks receivers whether they agree, where a destination has a handshake. Default: that of `publicUrl`, or else the machine's host name.",
    ),
  }),
  nats: group({
    prefix: text("redcar", "Before the names of streams, subjects and buckets: several hubs may share the servers."),
    partitions: count(
      4,
      { minimum: 1, maximum: 64 },
      "Streams that the events are spread over, by topic; as many processes can route and deliver at once. Fixed by the first start.",
    ),
    replicas: count(
      1,
      { minimum: 1, maximum: 5 },
      "Servers that hold each stream. 3 survive the loss of one. Fixed by the first start; `redcar nats scale` changes it.",
    ),
    dedupeWindow: duration(
      3600 * second,
      { minimum: 120 * second, maximum: 7 * day },
      "The longest dedupe window a topic can have. The servers hold the ids of so much time in memory, about 200 bytes each. Fixed by the first start; `redcar nats scale` changes it.",
    ),
    credentials: text("", "The file with the hub's NATS credentials (`.creds`)."),
    ca: text(
      "",
      "The file with the certificates (PEM) of who signed those of the NATS servers, for `tls://`. Default: whom Node.js trusts.",
    ),
    issuer: text("", "The file that signs NATS credentials of tenants: the `issuer.json` of `redcar nats init`."),
    monitor: text("", "The address of a server's monitoring port (`http://host:8222`), to see how it writes to disk."),
  }),
})

type Held<P> = {
  readonly [K in keyof P & string as P[K] extends TDuration ? `${K}Ms` : K]: P[K] extends TObject<infer Q>
    ? Held<Q>
    : P[K] extends TSchema
      ? Readonly<Static<P[K]>>
      : never
}

/** All settings, complete and checked. Durations are milliseconds and their names end so. */
export type Settings = Held<(typeof settingsSchema)["properties"]>

/** One setting as the schema declares it. */
export interface Setting {
  /** As a file writes it: `delivery.lease`. */
  readonly name: string
  /** Where {@link Settings} holds it: `["delivery", "leaseMs"]`. */
  readonly path: readonly string[]
  /** `--delivery-lease` */
  readonly flag: string
  /** `REDCAR_DELIVERY_LEASE` */
  readonly variable: string
  readonly unit: Unit
  readonly description: string
  /** Undefined where it is derived from other settings. */
  readonly byDefault: unknown
  /** How it is derived, in words. */
  readonly derived?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly choices?: readonly string[]
}

/** What the schema's JSON form holds for a leaf or a group. */
interface Node {
  readonly properties?: Readonly<Record<string, Node>>
  readonly unit: Unit
  readonly description: string
  readonly default?: unknown
  readonly derived?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly enum?: readonly string[]
}

/** Every setting, in the schema's order. */
export const settingsList: readonly Setting[] = leaves(settingsSchema as unknown as Node, [])

function leaves(node: Node, prefix: readonly string[]): readonly Setting[] {
  return Object.entries(node.properties ?? {}).flatMap(([key, child]) =>
    child.properties === undefined ? [setting(child, [...prefix, key])] : leaves(child, [...prefix, key]),
  )
}

function setting(node: Node, names: readonly string[]): Setting {
  const words = names.map((name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)).join("-")
  const last = names.length - 1
  return {
    name: names.join("."),
    path: node.unit === "ms" ? names.with(last, `${names[last]}Ms`) : names,
    flag: `--${words}`,
    variable: `REDCAR_${words.replaceAll("-", "_").toUpperCase()}`,
    unit: node.unit,
    description: node.description,
    byDefault: node.default,
    ...(node.derived === undefined ? {} : { derived: node.derived }),
    ...(node.minimum === undefined ? {} : { minimum: node.minimum }),
    ...(node.maximum === undefined ? {} : { maximum: node.maximum }),
    ...(node.enum === undefined ? {} : { choices: node.enum }),
  }
}
