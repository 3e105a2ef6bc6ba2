import { verdictMark } from "../clauses.ts"
import type { Context } from "../command.ts"
import type { Hub } from "../hub.ts"
import { coloursFor, printable } from "../terminal.ts"

interface ApiJourneyTrigger {
  readonly trigger: string
  readonly verdict: string
  readonly sentence: string
  readonly removed?: boolean
}

interface ApiJourney {
  readonly event: { readonly topic: string }
  readonly triggers: readonly ApiJourneyTrigger[]
  readonly triggersComplete: boolean
}

/** Triggers named at most. */
const namedMax = 20

/** Says why nothing is owed of the event at a cursor, as far as it can be known: trigger by trigger, and what to do. */
export async function nothingOwed(context: Context, hub: Hub, cursor: string): Promise<string> {
  const path = `/v1/events/${encodeURIComponent(cursor)}/journey`
  const { event, triggers, triggersComplete } = await hub.json<ApiJourney>("GET", path, { query: { eventsMax: 0 } })
  const topic = event.topic.split(":", 1)[0]!
  if (triggers.length === 0) {
    return [
      `Nothing is owed of this event: no trigger is on topic ${topic}.`,
      `One that also has the events of the past: redcar trigger create --topic ${topic} --destination <id> --start oldest`,
    ].join("\n")
  }
  const colours = coloursFor(context.terminal, "stdout")
  const more = triggers.length - namedMax
  return [
    `Nothing is owed of this event${triggers.some(isWaiting) ? " yet" : ""}:`,
    ...triggers.slice(0, namedMax).map((each) => {
      const { trigger, verdict, removed } = each
      return `  ${verdictMark(verdict, colours)} ${colours.bold(trigger)}${removed ? " (deleted since)" : ""}: ${printable(whyNot(each))}`
    }),
    ...(more > 0 || !triggersComplete ? [`  … and ${more > 0 ? `${more} more` : "more than are looked at"}`] : []),
    nextOf(triggers, cursor),
  ].join("\n")
}

function isWaiting({ verdict }: ApiJourneyTrigger): boolean {
  return verdict === "waits"
}

function whyNot({ verdict, sentence, removed }: ApiJourneyTrigger): string {
  if (verdict !== "fires") return sentence
  if (removed) return `${sentence} What was owed was dropped with it.`
  return `${sentence} What became of it is not kept any more.`
}

/** The one thing to do about it. */
function nextOf(triggers: readonly ApiJourneyTrigger[], cursor: string): string {
  const paused = triggers.find((each) => isWaiting(each) && each.sentence.includes("paused"))
  if (paused !== undefined) return `It goes on with: redcar trigger resume ${paused.trigger}`
  if (triggers.some(isWaiting)) return "It is routed in a moment: ask again."
  const early = triggers.find(({ sentence }) => /before the trigger's start/.test(sentence))
  if (early !== undefined && triggers.length === 1)
    return `One that starts earlier has it: redcar trigger create … --start oldest`
  return `Clause by clause: redcar trigger explain ${triggers[0]!.trigger} --cursor ${cursor}`
}
