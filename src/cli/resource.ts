import { readFileSync } from "node:fs"
import type { Command } from "commander"
import { decodeUtf8 } from "../formats/utf8.ts"
import { type CommonOptions, type Context, examples, pairs, subcommand, wholeNumber, withHub } from "./command.ts"
import { UsageError } from "./failures.ts"
import type { Hub, Query } from "./hub.ts"
import { lossOfNumber } from "./json.ts"
import { confirmed, type OutputOptions, printDone, printFirst, printOne, withOutput } from "./output.ts"
import type { Column } from "./table.ts"
import { readAll } from "./terminal.ts"

/** A resource as the API answers it; each kind has more. */
export interface ApiResource {
  readonly id: string
  readonly description?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly createdAt?: string
  readonly updatedAt?: string
  readonly [field: string]: unknown
}

/** A kind of resource, as the commands that all kinds share need it. */
export interface ResourceKind<R> {
  /** `topic` */
  readonly name: string
  /** `/v1/topics` */
  readonly path: string
  readonly columns: readonly Column<R>[]
  /** What to print where there is none: how to make the first. */
  readonly empty: string
  /** What the hub sets by itself, besides {@link commonReadOnly}: what `get` printed can be a `--file`, and these are passed over. */
  readonly readOnly: readonly string[]
  /** What deleting one does, for the question before it. */
  readonly deleting: string
  /** How it is deleted though something needs it: what that does, and how to say what it did. */
  readonly forcing?: { readonly description: string; told(answer: ForcedAnswer, dryRun: boolean): string }
  /** What is lost with one of them, to be told beside its deletion; undefined: nothing. */
  losing?(hub: Hub, id: string): Promise<string | undefined>
}

/** What the API says of a forced deletion. */
interface ForcedAnswer {
  readonly pausedTriggers: readonly string[]
  readonly openDeliveries: number
  readonly openTriggers: readonly string[]
}

interface ListOptions extends CommonOptions {
  readonly label?: Readonly<Record<string, string>>
  readonly limit: number
}

interface ChangeOptions extends CommonOptions {
  readonly ifMatch?: string
  readonly dryRun?: boolean
  readonly yes?: boolean
  readonly force?: boolean
}

/** What of every resource the hub sets by itself. */
const commonReadOnly: readonly string[] = ["tenant", "createdAt", "updatedAt", "etag", "status"]

/** Where a resource is. */
export function pathOf(kind: { readonly path: string }, id: string): string {
  return `${kind.path}/${encodeURIComponent(id)}`
}

/** Adds `list`, `get` and `delete`. */
export function addCommonCommands<R extends ApiResource>(
  parent: Command,
  kind: ResourceKind<R>,
  context: Context,
): void {
  const { name } = kind
  const list = subcommand(parent, "list", `List ${name}s.`)
    .addOption(pairs("--label <name=value>", `only ${name}s with this label (repeatable)`))
    .option("--limit <count>", "at most so many", wholeNumber(1), 1_000)
    .action(async (options: ListOptions) => {
      const rows = context.hub(options).items<R>(kind.path, { ...pageOf(options), labels: labelQuery(options.label) })
      await printFirst(context, options, rows, kind.columns, kind.empty)
    })
  examples(withHub(list), [
    [`redcar ${name} list`, "All of them, as a table"],
    [`redcar ${name} list --label team=payments --json`, "Those with a label, for programs"],
  ])
  const get = withOutput(subcommand(parent, "get <id>", `Show one ${name} in full.`)).action(
    async (id: string, options: CommonOptions & OutputOptions) =>
      printOne(context, options, await context.hub(options).json("GET", pathOf(kind, id))),
  )
  examples(withHub(get), [
    [`redcar ${name} get first`, "As YAML"],
    [`redcar ${name} get first --json`, "As JSON"],
    [`redcar ${name} get first --output yaml > first.yaml`, `For redcar ${name} create --file first.yaml`],
  ])
  const remove = subcommand(parent, "delete <id>", `Delete a ${name}. ${kind.deleting}`)
    .option("-y, --yes", "do not ask")
    .option("--if-match <etag>", "only if it is still at this etag")
    .option("--dry-run", "check, but delete nothing")
    .action((id: string, options: ChangeOptions) => removeOne(context, kind, id, options))
  if (kind.forcing) remove.option("--force", kind.forcing.description)
  examples(withHub(remove), [
    [`redcar ${name} delete first`, "Asks before it does"],
    [`redcar ${name} delete first --yes`, "For scripts"],
  ])
}

async function removeOne<R>(
  context: Context,
  kind: ResourceKind<R>,
  id: string,
  options: ChangeOptions,
): Promise<void> {
  const hub = context.hub(options)
  const loss = options.json ? undefined : await kind.losing?.(hub, id)
  const asked = loss === undefined ? kind.deleting : `With it goes ${loss}.`
  if (!options.dryRun && !(await confirmed(context, `Delete ${kind.name} ${id}? ${asked}`, options))) {
    throw new UsageError(`${kind.name} ${id} was not deleted`, ["Say yes when asked, or give --yes."])
  }
  const { headers, query } = changeRequest(options)
  const line = options.dryRun ? `${kind.name} ${id} could be deleted` : `deleted ${kind.name} ${id}`
  if (options.force && kind.forcing) {
    const forced = { headers, query: { ...query, force: true } }
    const answer = await hub.json<ForcedAnswer>("DELETE", pathOf(kind, id), forced)
    return printDone(context, options, answer, `${line}; ${kind.forcing.told(answer, options.dryRun === true)}`)
  }
  await hub.send("DELETE", pathOf(kind, id), { headers, query })
  await printDone(context, options, { id }, loss === undefined ? line : `${line}, and with it ${loss}`)
}

/** The header and query of a conditional or trial change. */
export function changeRequest(options: ChangeOptions): { headers: Record<string, string>; query: Query } {
  return {
    headers:
      options.ifMatch === undefined
        ? {}
        : { "if-match": options.ifMatch.startsWith('"') ? options.ifMatch : `"${options.ifMatch}"` },
    query: options.dryRun ? { validate_only: true } : {},
  }
}

/** Asks for as many at a time as a page has, and no more than are wanted; one more tells whether there are more. */
export function pageOf({ limit }: { readonly limit: number }): Query {
  return { pageSize: Math.min(limit + 1, 1_000) }
}

function labelQuery(label: Readonly<Record<string, string>> | undefined): string | undefined {
  return label === undefined
    ? undefined
    : Object.entries(label)
        .map(([name, value]) => `${name}=${value}`)
        .join(",")
}

/** Flags that create and update share. */
export interface BodyOptions extends ChangeOptions {
  readonly file?: string
  readonly description?: string
  readonly label?: Readonly<Record<string, string>>
}

/** Adds the flags of {@link BodyOptions}. */
export function withBody(command: Command, kind: { readonly name: string }, change: "create" | "update"): Command {
  const labels = change === "create" ? "a label (repeatable)" : "a label (repeatable; an empty value removes it)"
  command
    .option("--file <path>", `the ${kind.name} as JSON or YAML (\`-\`: standard input); flags win over it`)
    .option("--description <text>", "what it is for")
    .addOption(pairs("--label <name=value>", labels))
    .option("--dry-run", `check it all, but ${change} nothing`)
  return change === "create" ? command : command.option("--if-match <etag>", "only if it is still at this etag")
}

/** The body that flags and file say together; what only the hub sets is left out of the file. In an update an empty label is one to remove. */
export async function bodyOf(
  context: Context,
  { readOnly }: Pick<ResourceKind<never>, "readOnly">,
  options: BodyOptions,
  fields: Readonly<Record<string, unknown>>,
  change: "create" | "update",
): Promise<Readonly<Record<string, unknown>>> {
  const read = options.file === undefined ? {} : await readResource(context, options.file)
  const ofHub = [...commonReadOnly, ...readOnly]
  const file: Readonly<Record<string, unknown>> = Object.fromEntries(
    Object.entries(read).filter(([name]) => !ofHub.includes(name)),
  )
  const labels = Object.entries(options.label ?? {}).map(([name, value]) => [
    name,
    change === "update" && value === "" ? null : value,
  ])
  const said = Object.entries({ description: options.description, ...fields }).filter(
    ([, value]) => value !== undefined,
  )
  return {
    ...file,
    ...Object.fromEntries(said),
    ...(labels.length === 0
      ? {}
      : { labels: { ...(file.labels as object | undefined), ...Object.fromEntries(labels) } }),
  }
}

async function readResource(context: Context, path: string): Promise<Readonly<Record<string, unknown>>> {
  const text = await readInput(context, path)
  const { isPair, parseDocument, visit } = await import("yaml")
  try {
    const document = parseDocument(text)
    if (document.errors[0] !== undefined) throw document.errors[0]
    visit(document, {
      Scalar(_, { value, source }, [, , member]) {
        if (typeof value !== "number" || source === undefined) return
        const loss = lossOfNumber(value, source, isPair(member) && String(member.key) === "filters")
        if (loss !== undefined) throw new UsageError(`${path}: ${loss}`)
      },
    })
    const value: unknown = document.toJS()
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (error) {
    if (error instanceof UsageError) throw error
    const { code, message } = error as Error & { readonly code?: string }
    // What follows is the text around it, over several lines.
    const [why = ""] = message.replace(/:?\n[\s\S]*$/, "").split("\n")
    const place = / at line \d+, column \d+/.exec(why)?.[0] ?? ""
    if (code === "DUPLICATE_KEY") throw new UsageError(`${path} has a member twice${place}`, [], { cause: error })
    throw new UsageError(`${path} is neither JSON nor YAML: ${why}`, [], { cause: error })
  }
  throw new UsageError(`${path} has to hold one object`)
}

/** The text of a file that the command line names; of standard input where that is `-`. Throws UsageError. */
export async function readInput(context: Context, path: string): Promise<string> {
  const text = decodeUtf8(path === "-" ? await readAll(context.terminal) : readBytes(path))
  if (typeof text === "string") return text
  throw new UsageError(`${path} is not UTF-8 at byte ${text}`, ["Save it in that encoding."])
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new UsageError(`${path} cannot be read (${(error as NodeJS.ErrnoException).code})`, ["Check the path."], {
      cause: error,
    })
  }
}

/** Sends a change of one resource, as a merge patch. */
export async function patch<R>(
  context: Context,
  options: BodyOptions,
  kind: { readonly name: string; readonly path: string },
  id: string,
  body: Readonly<Record<string, unknown>>,
): Promise<R> {
  if (Object.keys(body).length === 0) {
    throw new UsageError("nothing to change", [`Say what: redcar help ${kind.name} update`])
  }
  const { headers, query } = changeRequest(options)
  return context.hub(options).json<R>("PATCH", pathOf(kind, id), {
    json: body,
    query,
    headers: { ...headers, "content-type": "application/merge-patch+json" },
  })
}
