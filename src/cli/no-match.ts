import type { CommonOptions, Context } from "./command.ts"
import { CommandError, ProblemError } from "./failures.ts"
import { type Hub, nearestId } from "./hub.ts"

/** What a list was narrowed by, as the command line says it. */
export interface Narrowing {
  readonly topic?: string | undefined
  readonly trigger?: string | undefined
  readonly destination?: string | undefined
  readonly state?: string | undefined
  readonly deadReason?: string | undefined
}

/** What to print of a list in which nothing is: `empty`, or, where it was narrowed, that nothing matches, and which id is not there. */
export async function noMatch(
  context: Context,
  options: CommonOptions,
  { topic, trigger, destination, state, deadReason }: Narrowing,
  empty: string,
): Promise<string> {
  const said = [
    topic && `--topic ${topic}`,
    trigger && `--trigger ${trigger}`,
    destination && `--destination ${destination}`,
    state && `--state ${state}`,
    deadReason && `--dead-reason ${deadReason}`,
  ].filter((each) => each !== undefined && each !== "")
  if (said.length === 0) return empty
  const hub = context.hub(options)
  const absent = [
    await absence(hub, "topic", topic),
    await absence(hub, "trigger", trigger),
    await absence(hub, "destination", destination),
  ]
  return [`Nothing matches ${said.join(" ")}.`, ...absent.filter((line) => line !== undefined)].join("\n")
}

/** `There is no trigger padi. Did you mean paid?`, where there is none, as far as the key may see. */
async function absence(hub: Hub, name: string, id: string | undefined): Promise<string | undefined> {
  if (id === undefined || id === "") return undefined
  try {
    await hub.json("GET", `/v1/${name}s/${encodeURIComponent(id)}`)
    return undefined
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    if (!(error instanceof ProblemError) || error.problem.status !== 404) return undefined
  }
  const near = await nearestId(hub, `/v1/${name}s`, id)
  return `There is no ${name} ${id}.${near === undefined ? "" : ` Did you mean ${near}?`}`
}
