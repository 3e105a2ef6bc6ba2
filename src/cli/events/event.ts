import type { Command } from "commander"
import { type CommonOptions, type Context, examples, subcommand, withHub } from "../command.ts"
import { nextAttempt } from "../deliveries/next-attempt.ts"
import { printList, printOne } from "../output.ts"
import type { Column } from "../table.ts"
import { addDelayed } from "./delayed.ts"
import { addFind } from "./find.ts"
import { addJourney } from "./journey.ts"
import { nothingOwed } from "./nothing-owed.ts"
import { addResend } from "./resend.ts"

interface ApiAttempt {
  readonly number: number
  readonly destination: string
  readonly outcome: { readonly detail: string }
}

interface ApiDelivery {
  readonly id: string
  readonly trigger: string
  readonly destination: string
  readonly state: string
  readonly attempts: readonly ApiAttempt[]
  readonly dueAt?: string
  readonly waitsFor?: string
  readonly nextAt?: string
  readonly discarded?: { readonly reason: string }
  readonly edited?: { readonly as: { readonly cursor: string } }
}

const columns: readonly Column<ApiDelivery>[] = [
  { title: "trigger", value: ({ trigger }) => trigger },
  { title: "destination", value: ({ destination }) => destination },
  { title: "state", value: ({ state }) => state },
  { title: "tries", value: ({ attempts }) => String(attempts.length), align: "right" },
  { title: "next", value: (delivery) => nextAttempt(delivery, Date.now()) || "-" },
  {
    title: "last outcome",
    value: (delivery) =>
      delivery.discarded?.reason ?? (delivery.edited ? `as ${delivery.edited.as.cursor}` : lastOutcome(delivery)),
  },
]

function lastOutcome({ destination, attempts }: ApiDelivery): string {
  const last = attempts.at(-1)
  if (last === undefined) return ""
  return last.destination === destination ? last.outcome.detail : `${last.outcome.detail} (${last.destination})`
}

export function configure(command: Command, context: Context): void {
  command.description("Events: find one, see what became of it, deliver it once more.")
  const get = subcommand(command, "get <cursor>", "Show the event at a cursor.").action(
    async (cursor: string, options: CommonOptions) =>
      printOne(context, options, await context.hub(options).json("GET", `/v1/events/${encodeURIComponent(cursor)}`)),
  )
  examples(withHub(get), [
    ["redcar event get 00000000008", "As YAML"],
    ["redcar event get 00000000008 --json", "As a structured CloudEvent"],
  ])
  addJourney(command, context)
  const deliveries = subcommand(command, "deliveries <cursor>", "Show what became of the event at a cursor.").action(
    async (cursor: string, options: CommonOptions) => {
      const hub = context.hub(options)
      const path = `/v1/events/${encodeURIComponent(cursor)}/deliveries`
      const { items } = await hub.json<{ readonly items: readonly ApiDelivery[] }>("GET", path)
      const isAsked = items.length === 0 && options.json !== true
      await printList(context, options, items, columns, isAsked ? await nothingOwed(context, hub, cursor) : "")
    },
  )
  examples(withHub(deliveries), [
    ["redcar event deliveries 00000000008", "Where it went, and how that ended"],
    ["redcar event deliveries 00000000008 --json", "With every attempt"],
  ])
  addResend(command, context)
  addFind(command, context)
  addDelayed(command, context)
}
