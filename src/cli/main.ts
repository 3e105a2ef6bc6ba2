import { readFileSync } from "node:fs"
import { Command, CommanderError } from "commander"
import type { Context } from "./command.ts"
import { CommandError, type ExitCode, exitCodes, ProblemError, ToldError } from "./failures.ts"
import { findHub, openHub } from "./hub.ts"
import { asTyped } from "./invocation.ts"
import { refusalOf } from "./refusals.ts"
import { coloursFor, printable, processTerminal, type Terminal } from "./terminal.ts"
import { wordsOf } from "./wording.ts"

/** A command of the first level. Its module is loaded when it is used, so that each use pays for itself only. */
interface Entry {
  readonly name: string
  readonly summary: string
  readonly group: string
  load(): Promise<{ configure(command: Command, context: Context): void }>
}

const running = "Run:"
const events = "Events:"
const resources = "Resources:"

/** All commands, in the order of the help. */
const entries: readonly Entry[] = [
  { name: "serve", summary: "run a hub", group: running, load: () => import("./server/serve.ts") },
  { name: "status", summary: "show how a hub is doing", group: running, load: () => import("./status.ts") },
  {
    name: "migrate",
    summary: "move a hub to another engine",
    group: running,
    load: () => import("./server/migrate.ts"),
  },
  { name: "doctor", summary: "find out what is wrong", group: running, load: () => import("./server/doctor.ts") },
  { name: "nats", summary: "set up NATS servers", group: running, load: () => import("./server/nats.ts") },
  {
    name: "identity",
    summary: "the keys by which receivers know the hub",
    group: running,
    load: () => import("./server/identity.ts"),
  },
  { name: "bench", summary: "load a hub, and measure", group: running, load: () => import("./server/bench.ts") },
  { name: "publish", summary: "publish events to a topic", group: events, load: () => import("./events/publish.ts") },
  { name: "tail", summary: "follow a topic", group: events, load: () => import("./events/tail.ts") },
  {
    name: "event",
    summary: "find an event, and what became of it",
    group: events,
    load: () => import("./events/event.ts"),
  },
  {
    name: "filter",
    summary: "the filter languages; try filters without a hub",
    group: events,
    load: () => import("./triggers/filter.ts"),
  },
  { name: "topic", summary: "manage topics", group: resources, load: () => import("./topics/topic.ts") },
  { name: "trigger", summary: "manage triggers", group: resources, load: () => import("./triggers/trigger.ts") },
  {
    name: "destination",
    summary: "manage destinations",
    group: resources,
    load: () => import("./destinations/destination.ts"),
  },
  {
    name: "schedule",
    summary: "publish events when it is time",
    group: resources,
    load: () => import("./schedules/schedule.ts"),
  },
  {
    name: "delivery",
    summary: "see what is still to be delivered",
    group: resources,
    load: () => import("./deliveries/delivery.ts"),
  },
  {
    name: "replay",
    summary: "deliver events of the past once more",
    group: resources,
    load: () => import("./replays/replay.ts"),
  },
  {
    name: "subscription",
    summary: "named places in topics, to read on from",
    group: resources,
    load: () => import("./subscriptions/subscription.ts"),
  },
  { name: "queue", summary: "work on a queue", group: resources, load: () => import("./queues/queue.ts") },
  {
    name: "dead-letter",
    summary: "read, redrive and discard dead letters",
    group: resources,
    load: () => import("./deliveries/dead-letter.ts"),
  },
  { name: "tenant", summary: "let a tenant's clients in", group: resources, load: () => import("./tenants/tenant.ts") },
  { name: "completion", summary: "print a shell's completion", group: "Help:", load: () => import("./completion.ts") },
]

/** What commands have of the world. */
export function createContext(terminal: Terminal): Context {
  const context: Context = {
    terminal,
    hub: (options) => openHub(findHub(options, terminal.env)),
    program: (words) => programFor(words, context),
  }
  return context
}

/** Runs one command line (without `node` and the program); answers the exit code. The only catcher of CommandError, and of what the hub or the system refuses. */
export async function main(argv: readonly string[], terminal: Terminal): Promise<number> {
  let acting: Command | undefined
  try {
    const program = await createContext(terminal).program(argv)
    program.hook("preAction", (_, command) => {
      acting = command
    })
    await program.parseAsync([...argv], { from: "user" })
    return exitCodes.ok
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
    if (error instanceof ToldError) return error.exitCode
    const told = error instanceof CommandError ? error : refusalOf(error)
    if (told === undefined) throw error
    return tell(told, acting, terminal, argv.includes("--json"))
  }
}

/** Runs the process's command line. */
export async function start(): Promise<void> {
  process.exitCode = await main(process.argv.slice(2), processTerminal())
}

async function programFor(words: readonly string[] | "all", context: Context): Promise<Command> {
  const program = new Command("redcar")
    .description("Redcar: a self-hosted event hub. Publish CloudEvents, have them on disk, see them delivered.")
    .version(version(), "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand(false)
    .showHelpAfterError("(--help shows how)")
    .exitOverride()
    .configureOutput(outputOf(context.terminal))
    .addHelpText("after", rootHelp)
  for (const entry of entries) {
    const command = program.command(entry.name).summary(entry.summary).helpGroup(entry.group).helpCommand(false)
    if (words === "all" || words.includes(entry.name)) (await entry.load()).configure(command, context)
  }
  const help = program.command("help").summary("show help on a command or a subject").helpGroup("Help:")
  if (words === "all" || words.includes("help")) (await import("./help.ts")).configure(help, context)
  return program
}

const rootHelp = `
Start here:
  redcar serve                                       # a hub on http://127.0.0.1:9000
  redcar publish orders '{"id": 1}' --type order.created
  redcar tail orders --from oldest

More: redcar help <command>, redcar help settings, redcar help exit-codes`

/** Redcar's version, from its package. */
export function version(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8")
  return (JSON.parse(text) as { version: string }).version
}

function outputOf(terminal: Terminal) {
  const colours = coloursFor(terminal, "stderr")
  return {
    writeOut: (text: string) => void terminal.out(text),
    writeErr: (text: string) => terminal.err(text),
    outputError: (text: string, write: (text: string) => void) => write(colours.red(text)),
    getOutHelpWidth: () => terminal.columns ?? 100,
    getErrHelpWidth: () => terminal.columns ?? 100,
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  }
}

/** Says what went wrong and what to do, for a person or a program. */
function tell(error: CommandError, acting: Command | undefined, terminal: Terminal, json: boolean): ExitCode {
  const problem = error instanceof ProblemError ? error.problem : undefined
  const worded = problem && wordsOf(problem, acting)
  const typed = (text: string) => asTyped(text, terminal.program)
  const message = typed(worded?.message ?? error.message)
  const lines = (worded?.lines ?? []).map(typed)
  const next = [...error.next, ...(worded?.next ?? [])].map(typed)
  if (json) {
    const { name, exitCode } = error
    const told = { name, message: [message, ...lines].join("; "), next, exitCode, ...(problem && { problem }) }
    terminal.err(`${JSON.stringify({ error: told })}\n`)
    return exitCode
  }
  const colours = coloursFor(terminal, "stderr")
  terminal.err(`${colours.red("error:")} ${printable(message)}\n`)
  for (const line of lines) terminal.err(`  ${printable(line)}\n`)
  for (const line of next) terminal.err(`${line}\n`)
  return error.exitCode
}
