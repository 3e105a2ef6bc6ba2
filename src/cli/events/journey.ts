import type { Command } from "commander"
import { verdictMark } from "../clauses.ts"
import { type CommonOptions, type Context, examples, subcommand, wholeNumber, withHub } from "../command.ts"
import { nextAttempt } from "../deliveries/next-attempt.ts"
import { ago } from "../output.ts"
import { counted, plural } from "../progress.ts"
import { type Colours, coloursFor, printable } from "../terminal.ts"

interface ApiFlowEvent {
  readonly cursor: string
  readonly id: string
  readonly source: string
  readonly type: string
  readonly topic: string
  readonly storedAt: string
  readonly trigger?: string
}

interface ApiCausedEvent extends ApiFlowEvent {
  readonly caused?: readonly ApiCausedEvent[]
}

interface ApiAttempt {
  readonly number: number
  readonly destination: string
  readonly startedAt: string
  readonly durationMs: number
  readonly batch?: { readonly id: string; readonly events: number }
  readonly outcome: {
    readonly kind: string
    readonly detail: string
    readonly response?: { readonly body: string }
    readonly reply?: ApiReply
  }
}

interface ApiReply {
  readonly kind: string
  readonly topic?: string
  readonly cursors?: readonly string[]
  readonly duplicate?: boolean
  readonly detail?: string
}

interface ApiJourneyTrigger {
  readonly trigger: string
  readonly verdict: string
  readonly sentence: string
  readonly destination: string
  readonly removed?: boolean
  readonly delivery?: {
    readonly destination: string
    readonly state: string
    readonly dueAt?: string
    readonly waitsFor?: string
    readonly nextAt?: string
    readonly discarded?: { readonly at: string; readonly reason: string }
    readonly edited?: { readonly at: string; readonly as: { readonly id: string; readonly cursor: string } }
    readonly attempts: readonly ApiAttempt[]
  }
}

interface ApiJourney {
  readonly event: ApiFlowEvent
  readonly triggers: readonly ApiJourneyTrigger[]
  readonly triggersComplete: boolean
  readonly causes: readonly ApiFlowEvent[]
  readonly causeMissing?: string
  readonly caused: readonly ApiCausedEvent[]
  readonly causedComplete: boolean
  readonly correlated: readonly ApiFlowEvent[]
  readonly searched: { readonly events: number; readonly complete: boolean }
}

/** Adds `redcar event journey`. */
export function addJourney(command: Command, context: Context): void {
  const journey = subcommand(
    command,
    "journey <cursor>",
    "Tell all that became of an event: each trigger's verdict and why, deliveries, attempts, what it caused, what caused it.",
  )
    .option("--events-max <count>", "show so many events that it caused (default: 100)", wholeNumber(0, 1_000))
    .action(async (cursor: string, options: CommonOptions & { readonly eventsMax?: number }) => {
      const { terminal } = context
      const query = { eventsMax: options.eventsMax }
      const path = `/v1/events/${encodeURIComponent(cursor)}/journey`
      const answer = await context.hub(options).json<ApiJourney>("GET", path, { query })
      if (options.json) return terminal.out(`${JSON.stringify(answer, null, 2)}\n`)
      return terminal.out(`${linesOf(answer, coloursFor(terminal, "stdout"), Date.now()).join("\n")}\n`)
    })
  examples(withHub(journey), [
    ["redcar event journey 00000000008", "Where is my event, and why?"],
    ["redcar event journey 00000000008 --json", "For programs, with every attempt's answer"],
  ])
}

function linesOf(journey: ApiJourney, colours: Colours, now: number): readonly string[] {
  const { event, triggers, triggersComplete, caused, causedComplete, correlated, searched } = journey
  const later = `${plural(searched.events, "later event")} looked at${searched.complete ? "" : ", not all there are"}`
  return [
    colours.bold(printable(`${event.type} ${event.id}`)) + printable(` of ${event.source}`),
    `  stored ${event.storedAt} (${ago(event.storedAt, now)} ago) on ${printable(event.topic)} at ${event.cursor}`,
    ...causeLines(journey, colours),
    "",
    colours.dim("TRIGGERS"),
    ...(triggers.length === 0 ? ["  no trigger is on its topic"] : []),
    ...triggers.flatMap((trigger) => triggerLines(trigger, colours, now)),
    ...(triggersComplete ? [] : [colours.yellow("  … and more than are looked at")]),
    "",
    colours.dim(`CAUSED (${later})`),
    ...(caused.length === 0 ? ["  nothing that says so"] : treeLines(caused, "  ", colours)),
    ...(causedComplete ? [] : [colours.yellow("  … and more: --events-max")]),
    ...(correlated.length === 0 ? [] : ["", colours.dim("OF THE SAME FLOW")]),
    ...correlated.map((each) => `  ${eventLine(each, colours)}`),
  ]
}

function causeLines({ causes, causeMissing }: ApiJourney, colours: Colours): readonly string[] {
  return [
    ...causes.map((each) => `  ${colours.dim("caused by")} ${eventLine(each, colours)}`),
    ...(causeMissing === undefined
      ? []
      : [`  ${colours.dim("caused by")} ${printable(causeMissing)}, which was not found`]),
  ]
}

function triggerLines(
  { trigger, verdict, sentence, destination, removed, delivery }: ApiJourneyTrigger,
  colours: Colours,
  now: number,
): readonly string[] {
  const gone = removed ? colours.yellow(" (deleted since)") : ""
  const state = delivery === undefined ? "" : `  ${stateOf(delivery.state, colours)}`
  const next = delivery === undefined ? "" : nextAttempt(delivery, now)
  const due = next === "" ? "" : colours.dim(` next ${next}`)
  const { discarded, edited } = delivery ?? {}
  const where = delivery?.destination ?? destination
  return [
    `  ${verdictMark(verdict, colours)} ${colours.bold(trigger)} → ${where}${gone}${state}${due}`,
    `      ${colours.dim(printable(sentence))}`,
    ...(delivery?.attempts ?? []).flatMap((attempt) => attemptLines(attempt, where, colours)),
    ...(discarded ? [`      ${colours.red("✗")} discarded at ${discarded.at}: ${printable(discarded.reason)}`] : []),
    ...(edited
      ? [`      ${colours.yellow("→")} redriven edited at ${edited.at}, as ${edited.as.id} at ${edited.as.cursor}`]
      : []),
  ]
}

function attemptLines(
  { number, destination: to, startedAt, durationMs, batch, outcome }: ApiAttempt,
  where: string,
  colours: Colours,
): readonly string[] {
  const mark = outcome.kind === "delivered" ? colours.green("✓") : colours.red("✗")
  const body = outcome.response?.body && !outcome.reply ? `: ${shortened(outcome.response.body)}` : ""
  const company = batch === undefined ? "" : ` in a batch of ${batch.events}`
  const attempt = `attempt ${number}${to === where ? "" : ` to ${to}`}${company} at ${startedAt}, ${counted(durationMs)} ms`
  const told = `      ${mark} ${attempt}: ${printable(outcome.detail + body)}`
  return outcome.reply ? [told, replyLine(outcome.reply, colours)] : [told]
}

function replyLine({ topic, cursors = [], duplicate, detail = "" }: ApiReply, colours: Colours): string {
  if (topic === undefined) return `        ${colours.red("✗")} its answer was not published: ${printable(detail)}`
  const before = duplicate ? ", as before" : ""
  return `        ${colours.yellow("→")} its answer is on ${printable(topic)} at ${cursors.join(", ")}${before}`
}

function stateOf(state: string, colours: Colours): string {
  if (state === "done") return colours.green(state)
  return ["dead", "discarded", "dropped"].includes(state) ? colours.red(state) : colours.yellow(state)
}

function treeLines(events: readonly ApiCausedEvent[], stem: string, colours: Colours): readonly string[] {
  return events.flatMap((event, i) => {
    const last = i === events.length - 1
    const below = treeLines(event.caused ?? [], `${stem}${last ? "   " : "│  "}`, colours)
    return [`${colours.dim(`${stem}${last ? "└─ " : "├─ "}`)}${eventLine(event, colours)}`, ...below]
  })
}

function eventLine({ type, id, source, topic, cursor, trigger }: ApiFlowEvent, colours: Colours): string {
  const by = trigger === undefined ? "" : ` by trigger ${trigger}`
  return `${printable(`${type} ${id} of ${source}`)} ${colours.dim(printable(`on ${topic} at ${cursor}${by}`))}`
}

function shortened(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text
}
