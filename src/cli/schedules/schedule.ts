import { type Command, Option } from "commander"
import {
  type CommonOptions,
  type Context,
  durationText,
  examples,
  jsonValue,
  pairs,
  subcommand,
  wholeNumber,
  withHub,
} from "../command.ts"
import { UsageError } from "../failures.ts"
import { ago, printDone, printList } from "../output.ts"
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

interface TimingOptions {
  readonly cron?: string
  readonly interval?: string
  readonly timeZone?: string
  readonly notBefore?: string
  readonly notAfter?: string
  readonly twice?: string
  readonly absent?: string
}

interface ScheduleOptions extends BodyOptions, TimingOptions {
  readonly topic?: string
  readonly type?: string
  readonly source?: string
  readonly subject?: string
  readonly eventData?: unknown
  readonly contentType?: string
  readonly extension?: Readonly<Record<string, string>>
  readonly missed?: string
  readonly paused?: boolean
}

interface NextOptions extends CommonOptions, TimingOptions {
  readonly count: number
}

interface ApiSchedule extends ApiResource {
  readonly topic: string
  readonly cron?: string
  readonly interval?: string
  readonly timeZone: string
  readonly pauseReason?: string
  readonly status?: {
    readonly state: string
    readonly lastRunAt?: string
    readonly nextRunAt?: string
    readonly lastError?: { readonly detail: string }
  }
}

interface ApiRun {
  readonly at: string
  readonly local: string
}

const kind: ResourceKind<ApiSchedule> = {
  name: "schedule",
  path: "/v1/schedules",
  columns: [
    { title: "id", value: ({ id }) => id },
    { title: "topic", value: ({ topic }) => topic },
    { title: "runs", value: timingText },
    { title: "state", value: stateText },
    { title: "last", value: ({ status }) => ago(status?.lastRunAt, Date.now()), align: "right" },
    { title: "next", value: ({ status }) => ago(status?.nextRunAt, Date.now()), align: "right" },
    { title: "description", value: ({ description }) => description ?? "" },
  ],
  empty: "No schedules yet. Make one: redcar schedule create --topic orders --type day.begun --cron '0 9 * * 1-5'",
  readOnly: ["pausedSince", "pauseReason"],
  deleting: "It has no more runs; what it has published stays.",
}

export function configure(command: Command, context: Context): void {
  command.description("Schedules: events that the hub publishes when it is time.")
  addCommonCommands(command, kind, context)
  addCreate(command, context)
  addUpdate(command, context)
  addPauseAndResume(command, context)
  addNext(command, context)
}

function addCreate(command: Command, context: Context): void {
  const create = subcommand(command, "create [id]", "Make a schedule. Without an id the hub makes one up.")
  withSchedule(withBody(create, kind, "create"))
    .option("--paused", "make it paused")
    .action(async (id: string | undefined, options: ScheduleOptions) => {
      const body = await bodyOf(context, kind, options, { id, ...fieldsOf(options), paused: options.paused }, "create")
      const hub = context.hub(options)
      const made = await hub.json<ApiSchedule>("POST", kind.path, { ...changeRequest(options), json: body })
      const line = `schedule ${made.id}: ${timingText(made)} → ${made.topic}`
      await printDone(context, options, made, options.dryRun ? `would make ${line}` : `made ${line}`)
    })
  examples(withHub(create), [
    ["redcar schedule create heartbeat --topic ops --type heartbeat --interval 15m", "Every quarter of an hour"],
    [
      "redcar schedule create morning --topic shop --type day.begun --cron '0 9 * * 1-5' --time-zone Europe/Berlin",
      "On weekdays at nine, as clocks in Berlin show it",
    ],
    [
      `redcar schedule create bill --topic shop:bills --type bill.due --cron '0 0 1 * *' --event-data '{"plan": "all"}' --missed all`,
      "Each month once, also for months in which no hub ran",
    ],
  ])
}

function addUpdate(command: Command, context: Context): void {
  const update = subcommand(command, "update <id>", "Change a schedule; what is not said stays.")
  withSchedule(withBody(update, kind, "update")).action(async (id: string, options: ScheduleOptions) => {
    const body = await bodyOf(context, kind, options, { ...otherKind(options), ...fieldsOf(options) }, "update")
    const changed = await patch<ApiSchedule>(context, options, kind, id, body)
    const line = options.dryRun ? `schedule ${id} would be changed` : `changed schedule ${id}`
    await printDone(context, options, changed, line)
  })
  examples(withHub(update), [
    ["redcar schedule update morning --cron '30 8 * * 1-5'", "Half an hour earlier"],
    ["redcar schedule update morning --interval 1h", "Every hour instead"],
    [`redcar schedule update bill --event-data '{"plan": "yearly"}'`, "Other data from the next run on"],
  ])
}

/** Whoever says the one does not want the other any more. */
function otherKind({ cron, interval }: TimingOptions): Readonly<Record<string, unknown>> {
  if (cron !== undefined && interval === undefined) return { interval: null }
  return interval !== undefined && cron === undefined ? { cron: null } : {}
}

function addPauseAndResume(command: Command, context: Context): void {
  const pause = subcommand(command, "pause <id>", "Pause a schedule. It makes up for no run of that time.")
    .option("--reason <reason>", "why, for those who look later")
    .action(async (id: string, options: CommonOptions & { readonly reason?: string }) => {
      const json = options.reason === undefined ? {} : { reason: options.reason }
      const answer = await context.hub(options).json("POST", `${pathOf(kind, id)}/pause`, { json })
      await printDone(context, options, answer, `paused schedule ${id}`)
    })
  examples(withHub(pause), [
    ["redcar schedule pause morning", "No runs until it is resumed"],
    ["redcar schedule pause morning --reason 'the shop is closed'", "And say why"],
  ])
  const resume = subcommand(command, "resume <id>", "Resume a paused schedule.").action(
    async (id: string, options: CommonOptions) => {
      const answer = await context.hub(options).json("POST", `${pathOf(kind, id)}/resume`, { json: {} })
      await printDone(context, options, answer, `resumed schedule ${id}`)
    },
  )
  examples(withHub(resume), [
    ["redcar schedule resume morning", "Its runs from now on"],
    ["redcar schedule resume morning --json", "For programs"],
  ])
}

function addNext(command: Command, context: Context): void {
  const next = subcommand(command, "next [id]", "Show when a schedule runs next, or when one would.")
  withTiming(next)
    .option("--count <count>", "so many", wholeNumber(1, 50), 5)
    .action(async (id: string | undefined, options: NextOptions) => {
      const { items } = await nextRuns(context, id, options)
      const columns = [
        { title: "local", value: ({ local }: ApiRun) => local },
        { title: "utc", value: ({ at }: ApiRun) => at.replace(".000Z", "Z") },
        { title: "in", value: ({ at }: ApiRun) => ago(at, Date.now()).replace("in ", ""), align: "right" as const },
      ]
      await printList(context, options, items, columns, "It has no more runs.")
    })
  examples(withHub(next), [
    ["redcar schedule next morning", "The next five of a schedule"],
    ["redcar schedule next --cron '30 2 * * *' --time-zone Europe/Berlin", "Of one that is not made yet"],
    ["redcar schedule next --interval 90m --not-before 2026-01-31T00:00:00Z --count 20 --json", "For programs"],
  ])
}

function nextRuns(context: Context, id: string | undefined, options: NextOptions) {
  const hub = context.hub(options)
  const query = { count: options.count }
  const timing = timingOf(options)
  const isSaid = Object.values(timing).some((value) => value !== undefined)
  if (id === undefined) {
    if (isSaid) return hub.json<{ items: ApiRun[] }>("POST", `${kind.path}/next`, { query, json: timing })
    throw new UsageError("which schedule?", ["Name one, or say when it would run: --cron '0 9 * * 1-5'"])
  }
  if (!isSaid) return hub.json<{ items: ApiRun[] }>("GET", `${pathOf(kind, id)}/next`, { query })
  throw new UsageError("a schedule that is there says itself when it runs", ["Leave out its id, or the other flags."])
}

function withTiming(command: Command): Command {
  return command
    .option("--cron <expression>", "five fields, or six with seconds first: '0 9 * * 1-5'")
    .option("--interval <duration>", "from run to run, whatever clocks show: 15m", durationText)
    .option("--time-zone <name>", "where the expression is read: Europe/Berlin (default: UTC)")
    .option("--not-before <time>", "no run before this (RFC 3339)")
    .option("--not-after <time>", "no run after this (RFC 3339)")
    .addOption(
      new Option("--twice <which>", "of an hour that comes twice, when clocks are set back (default: first)").choices([
        "first",
        "last",
        "both",
      ]),
    )
    .addOption(
      new Option(
        "--absent <what>",
        "of a time that does not come, when clocks are set forward: the run is moved, or skipped (default: moved)",
      ).choices(["moved", "skipped"]),
    )
}

function withSchedule(command: Command): Command {
  return withTiming(command)
    .addOption(
      new Option("--missed <what>", "of runs for which no hub was there: skip, once, all (default: once)").choices([
        "skip",
        "once",
        "all",
      ]),
    )
    .option("--topic <topic>", "the topic, or one key of it: orders, orders:123")
    .optionsGroup("Its events:")
    .option("--type <type>", "what happens: day.begun")
    .option("--source <uri>", "where it happens (default: the schedule)")
    .option("--subject <text>", "what it happens to")
    .option("--event-data <json>", "the data of each event", jsonValue)
    .option("--content-type <type>", "what the data is (default: JSON)")
    .addOption(pairs("--extension <name=value>", "another attribute (repeatable)"))
}

function timingOf({ cron, interval, timeZone, notBefore: start, notAfter: end, twice, absent }: TimingOptions) {
  return { cron, interval, timeZone, start, end, twice, absent }
}

function fieldsOf(options: ScheduleOptions): Readonly<Record<string, unknown>> {
  const { topic, missed, type, source, subject, eventData: data, contentType, extension: extensions } = options
  const event = { type, source, subject, data, dataContentType: contentType, extensions }
  const isSaid = Object.values(event).some((value) => value !== undefined)
  return { topic, ...timingOf(options), missed, ...(isSaid && { event }) }
}

function timingText({ cron, interval, timeZone }: ApiSchedule): string {
  if (interval !== undefined) return `every ${interval}`
  return timeZone === "UTC" ? (cron ?? "") : `${cron} ${timeZone}`
}

function stateText({ status, pauseReason }: ApiSchedule): string {
  const why = status?.lastError?.detail ?? pauseReason
  return [status?.state ?? "", ...(why === undefined ? [] : [why])].join(": ")
}
