import type { Command } from "commander"
import {
  type CommonOptions,
  type Context,
  durationText,
  examples,
  pairs,
  subcommand,
  wholeNumber,
  withHub,
} from "../command.ts"
import { FailedError, UsageError } from "../failures.ts"
import type { Hub } from "../hub.ts"
import { printDone, printList, printOne } from "../output.ts"
import { plural } from "../progress.ts"
import {
  type ApiResource,
  addCommonCommands,
  type BodyOptions,
  bodyOf,
  changeRequest,
  patch,
  pathOf,
  type ResourceKind,
  withBody,
} from "../resource.ts"
import { coloursFor, printable } from "../terminal.ts"
import {
  type ApiDestinationKind,
  configOf,
  destinationKinds,
  kindFlags,
  type Leftover,
  splitLeftover,
} from "./kind-config.ts"
import { type ApiLaneStatus, laneColumns } from "./lane-status.ts"

interface DestinationOptions extends BodyOptions {
  readonly kind?: string
  readonly set?: Readonly<Record<string, string>>
  readonly concurrency?: number
  readonly rate?: number
}

interface ApiSigningKey {
  readonly id: string
  readonly scheme: string
  readonly secret?: string
  readonly publicKey?: string
}

interface ApiDestination extends ApiResource {
  readonly kind: string
  readonly config?: Readonly<Record<string, unknown>>
  readonly signingKeys?: readonly ApiSigningKey[]
  readonly status?: ApiLaneStatus
}

/** Where a destination's events go. */
function placeOf({ kind: name, config = {} }: ApiDestination): string {
  return String(config.url ?? config.topic ?? (name === "queue" ? "its workers" : JSON.stringify(config)))
}

const kind: ResourceKind<ApiDestination> = {
  name: "destination",
  path: "/v1/destinations",
  columns: [
    { title: "id", value: ({ id }) => id },
    { title: "kind", value: ({ kind: name }) => name },
    { title: "to", value: placeOf },
    ...laneColumns,
  ],
  empty: "No destinations yet. Make one: redcar destination create --kind webhook --to https://example.com/hook",
  readOnly: ["signingKeys", "agreement"],
  deleting: "No trigger may use it, and no open delivery may be owed to it, but with --force.",
  forcing: {
    description: "delete it all the same: pause the triggers that use it; what others owe it becomes dead letters",
    told: ({ pausedTriggers, openDeliveries, openTriggers }, dryRun) => {
      const [uses, pauses, is] = dryRun ? ["uses", "would pause", "is"] : ["used", "paused", "was"]
      const paused = pausedTriggers.length === 0 ? `no trigger ${uses} it` : `${pauses} ${pausedTriggers.join(", ")}`
      if (openDeliveries === 0) return `${paused}; nothing ${is} owed to it`
      const of = `${plural(openDeliveries, "open delivery", "open deliveries")} (of ${openTriggers.join(", ")})`
      const [wait, become] = dryRun ? ["would wait", "would become"] : ["wait", "become"]
      return `${paused}; of ${of} those of paused triggers ${wait}, the others ${become} dead letters as they come due`
    },
  },
}

export function configure(command: Command, context: Context): void {
  command.description("Destinations: where events go.")
  addCommonCommands(command, kind, context)
  addCreate(command, context)
  addUpdate(command, context)
  addKinds(command, context)
  addRotate(command, context)
  addTest(command, context)
}

function addCreate(command: Command, context: Context): void {
  const create = subcommand(command, "create", "Make a destination. Without an id the hub makes one up.")
    .usage("[options] [id] [flags of the kind]")
    .option("--kind <kind>", "what it is: webhook, topic, queue, …; `redcar destination kinds <kind>` lists its flags")
  withDestination(withBody(create, kind, "create")).action(async (options: DestinationOptions, self: Command) => {
    const { operands, flags } = splitLeftover(self.args)
    const [id, ...more] = operands
    if (more.length > 0)
      throw new UsageError(`too many arguments: ${operands.join(" ")}`, ["A destination has one id."])
    refuseNoPlace(options, flags)
    const hub = context.hub(options)
    // What a kind needs beyond nothing the hub names.
    const nothing = options.file === undefined ? {} : undefined
    const config = (await configFor(hub, options, flags, options.kind)) ?? nothing
    const fields = { id, kind: options.kind, config, ...ratesOf(options) }
    const body = await bodyOf(context, kind, options, fields, "create")
    const made = await hub.json<ApiDestination>("POST", kind.path, { ...changeRequest(options), json: body })
    const line = `destination ${made.id} (${made.kind})`
    await printDone(context, options, made, options.dryRun ? `would make ${line}` : `made ${line}`)
    if (!options.json && !options.dryRun) await showKeys(context, made.signingKeys ?? [])
  })
  examples(withHub(create), [
    [
      "redcar destination create shop --kind webhook --to https://example.com/hook",
      "A webhook; its secret is shown once",
    ],
    ["redcar destination create copy --kind topic --to archive", "Forward to another topic"],
    ["redcar destination create shop --kind webhook --to https://example.com/hook --rate 50", "At most 50 a second"],
  ])
}

function addUpdate(command: Command, context: Context): void {
  const update = subcommand(command, "update", "Change a destination; what is not said stays.").usage(
    "[options] <id> [flags of its kind]",
  )
  withDestination(withBody(update, kind, "update")).action(async (options: DestinationOptions, self: Command) => {
    const { operands, flags } = splitLeftover(self.args)
    const [id] = operands
    if (id === undefined || operands.length > 1)
      throw new UsageError("which destination?", ["Say one id: redcar destination update <id> …"])
    const hub = context.hub(options)
    const said = flags.length > 0 || options.set !== undefined
    const current = said ? await hub.json<ApiDestination>("GET", pathOf(kind, id)) : undefined
    const config = await configFor(hub, options, flags, current?.kind)
    const body = await bodyOf(context, kind, options, { config, ...ratesOf(options) }, "update")
    const changed = await patch(context, options, kind, id, body)
    await printDone(
      context,
      options,
      changed,
      options.dryRun ? `destination ${id} would be changed` : `changed destination ${id}`,
    )
  })
  examples(withHub(update), [
    ["redcar destination update shop --to https://example.com/new-hook", "Send elsewhere"],
    ["redcar destination update shop --concurrency 4 --rate 10", "Go easy on it"],
  ])
}

function withDestination(command: Command): Command {
  return command
    .allowUnknownOption()
    .allowExcessArguments()
    .addOption(
      pairs("--set <name=value>", "one field of the kind's configuration (repeatable); its own flag does as well"),
    )
    .option("--concurrency <count>", "deliveries in flight at once", wholeNumber(1, 1024))
    .option("--rate <count>", "deliveries started per second at most", Number)
}

/** Kinds that are nothing without an address. */
const sending = ["webhook", "topic"]

/** Before the hub is asked: whoever means a destination's address by `--url` would show a stranger the key. */
function refuseNoPlace({ file, set, kind: name = "webhook" }: DestinationOptions, flags: Leftover["flags"]): void {
  if (file !== undefined || set !== undefined || flags.length > 0 || !sending.includes(name)) return
  const example = name === "topic" ? "archive" : "https://example.com/hook"
  throw new UsageError("where does it send to?", [
    `Say it: --kind ${name} --to ${example} (--url is where the hub is).`,
  ])
}

function ratesOf(options: DestinationOptions): Readonly<Record<string, unknown>> {
  return { concurrency: options.concurrency, ratePerSecond: options.rate }
}

/** The configuration that the command line says for this kind; undefined where it says nothing. */
async function configFor(
  hub: Hub,
  options: DestinationOptions,
  flags: readonly (readonly [string, string])[],
  name: string | undefined,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  if (flags.some(([flag]) => flag === "--hub"))
    throw new UsageError("there is no --hub", ["Where the hub is, says --url; where events go, --to."])
  if (flags.length === 0 && options.set === undefined) return undefined
  if (name === undefined) {
    throw new UsageError(`what is ${flags[0]?.[0] ?? "--set"} of?`, [
      "Say the kind: --kind webhook. `redcar destination kinds` lists them.",
    ])
  }
  const kinds = await destinationKinds(hub)
  const found = kinds.find((each) => each.kind === name)
  if (found === undefined)
    throw new UsageError(`there is no kind ${name}`, [`The hub knows: ${kinds.map((each) => each.kind).join(", ")}`])
  return configOf(found, flags, options.set ?? {})
}

function addKinds(command: Command, context: Context): void {
  const kinds = subcommand(command, "kinds [kind]", "List the kinds, or show one with its flags.").action(
    async (name: string | undefined, options: CommonOptions) => {
      const all = await destinationKinds(context.hub(options))
      if (name === undefined) {
        const columns = [
          { title: "kind", value: (each: ApiDestinationKind) => each.kind },
          { title: "description", value: (each: ApiDestinationKind) => each.description ?? "" },
        ]
        return printList(context, options, all, columns, "The hub knows no kinds.")
      }
      const one = all.find((each) => each.kind === name)
      if (one === undefined)
        throw new UsageError(`there is no kind ${name}`, [`The hub knows: ${all.map((each) => each.kind).join(", ")}`])
      if (options.json) return printOne(context, options, one)
      const flags = kindFlags(one)
      const columns = [
        { title: "flag", value: (each: (typeof flags)[number]) => each.flag },
        { title: "needed", value: (each: (typeof flags)[number]) => (each.required ? "yes" : "") },
        { title: "description", value: (each: (typeof flags)[number]) => each.description },
      ]
      return printList(context, options, flags, columns, `Destinations of kind ${name} have no configuration.`)
    },
  )
  examples(withHub(kinds), [
    ["redcar destination kinds", "What there is"],
    ["redcar destination kinds webhook", "The flags of a webhook"],
  ])
}

function addRotate(command: Command, context: Context): void {
  const rotate = subcommand(
    command,
    "rotate-secret <id>",
    "Make a new signing key. The old one signs as well until the overlap ends.",
  )
    .option("--overlap <duration>", "how long both sign (default 24h)", durationText)
    .action(async (id: string, options: CommonOptions & { readonly overlap?: string }) => {
      const json = options.overlap === undefined ? {} : { overlap: options.overlap }
      const key = await context.hub(options).json<ApiSigningKey>("POST", `${pathOf(kind, id)}/rotate-secret`, { json })
      await printDone(context, options, key, `destination ${id} signs with a new key`)
      if (!options.json) await showKeys(context, [key])
    })
  examples(withHub(rotate), [
    ["redcar destination rotate-secret shop", "Both keys sign for a day"],
    ["redcar destination rotate-secret shop --overlap 1h", "For an hour only"],
  ])
}

function addTest(command: Command, context: Context): void {
  const test = subcommand(
    command,
    "test <id>",
    "Send it one event of type redcar.test, and show what it answers. Nothing is stored.",
  ).action(async (id: string, options: CommonOptions) => {
    const outcome = await context
      .hub(options)
      .json<{ readonly kind: string; readonly detail: string }>("POST", `${pathOf(kind, id)}/test`, {
        json: {},
        timeoutMs: 120_000,
      })
    if (outcome.kind === "delivered")
      return printDone(context, options, outcome, `destination ${id} answered: ${printable(outcome.detail)}`)
    if (options.json) await printOne(context, options, outcome)
    throw new FailedError(`destination ${id} did not take it: ${outcome.detail}`, [
      `Look at its configuration: redcar destination get ${id}`,
    ])
  })
  examples(withHub(test), [
    ["redcar destination test shop", "Does it answer?"],
    ["redcar destination test shop --json", "The whole outcome"],
  ])
}

/** Shows what receivers need to check signatures. Secrets are shown this one time. */
async function showKeys(context: Context, keys: readonly ApiSigningKey[]): Promise<void> {
  const colours = coloursFor(context.terminal, "stdout")
  for (const { secret, publicKey, scheme } of keys) {
    if (secret !== undefined) {
      await context.terminal.out(
        `\n  ${colours.bold(secret)}\n\nIts secret (${scheme}). Keep it: it is not shown again. Receivers check signatures with it.\n`,
      )
    } else if (publicKey !== undefined) {
      await context.terminal.out(
        `\n  ${colours.bold(publicKey)}\n\nIts public key (${scheme}). Receivers check signatures with it.\n`,
      )
    }
  }
}
