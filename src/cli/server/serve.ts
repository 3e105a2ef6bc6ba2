import { once } from "node:events"
import { readFileSync } from "node:fs"
import { type Command, Option } from "commander"
import { defaultText } from "../../config/docs.ts"
import { loadSettings, type SettingsFault } from "../../config/load.ts"
import { type Setting, type Settings, settingsList } from "../../config/schema.ts"
import type { Logger } from "../../core/logger.ts"
import type { ServedHub } from "../../main.ts"
import { type Context, examples } from "../command.ts"
import { FailedError, UsageError } from "../failures.ts"
import { asTyped } from "../invocation.ts"
import { coloursFor, type Terminal } from "../terminal.ts"

export function configure(command: Command, context: Context): void {
  command.description("Run a hub. Settings: flags here, variables, or a file; `redcar help settings` lists them all.")
  command.option(
    "--config <file>",
    "a file of settings, YAML or JSON (REDCAR_CONFIG; default ./redcar.yaml where it is there)",
  )
  for (const setting of settingsList) command.addOption(optionOf(setting))
  command.action((_: unknown, self: Command) => serve(context, flagsOf(self)))
  examples(command, [
    ["redcar serve", "On http://127.0.0.1:9000, with its data in ./data"],
    ["redcar serve --host 0.0.0.0 --port 8080 --data /var/lib/redcar", "For other machines too"],
    ["redcar serve --hold --data ./restored", "To look at a copy: nothing is delivered, and nothing can be published"],
    ["REDCAR_LOG_LEVEL=debug redcar serve --config redcar.yaml", "Settings from a file and a variable"],
  ])
}

const groups: Readonly<Record<string, string>> = {
  limits: "Limits:",
  delivery: "Delivery:",
  destinations: "Destinations:",
  nats: "NATS JetStream:",
}

/** The flag of a setting. */
export function optionOf(setting: Setting): Option {
  const [group = ""] = setting.name.split(".")
  // Commander's own default would hide whether a flag was given, and a flag wins over the file.
  const byDefault = ` Default: ${defaultText(setting).replaceAll("`", "")}.`
  // What has no plain default says itself what holds then.
  const help = setting.description + (/\bDefault: /.test(setting.description) ? "" : byDefault)
  const value = setting.unit === "boolean" ? "[true|false]" : `<${placeholder(setting)}>`
  return new Option(`${setting.flag} ${value}`, help).helpGroup(groups[group] ?? "Settings:")
}

function placeholder(setting: Setting): string {
  if (setting.choices !== undefined) return setting.choices.join("|")
  const names: Readonly<Record<string, string>> = {
    bytes: "size",
    ms: "duration",
    count: "count",
    choice: "choice",
    list: "list",
  }
  return names[setting.unit] ?? "text"
}

/** What the command line says, by setting name. */
export function flagsOf(command: Command): Readonly<Record<string, string>> {
  const said = command.options.flatMap((option): (readonly [string, string])[] => {
    const value: unknown = command.getOptionValue(option.attributeName())
    const name = option.long === "--config" ? "config" : settingsList.find(({ flag }) => flag === option.long)?.name
    return name === undefined || value === undefined ? [] : [[name, String(value)]]
  })
  return Object.fromEntries(said)
}

async function serve(context: Context, flags: Readonly<Record<string, string>>): Promise<void> {
  const { terminal } = context
  const loaded = loadSettings({ flags, env: terminal.env, readFile: readIfThere })
  if (loaded.kind === "faults") throw faulty(loaded.faults)
  const { settings } = loaded
  // Listening for signals from the start: a stop during the start is a stop.
  const { stopping, forget } = signalled()
  try {
    const hub = await startOrSay(settings, stopping, flags)
    if (hub === undefined) return
    if (terminal.stdoutIsTerminal && settings.logFormat !== "json")
      await terminal.out(asTyped(welcome(terminal, settings, hub.address), terminal.program))
    if (!stopping.aborted) await once(stopping, "abort")
    await hub.stop()
  } finally {
    forget()
  }
}

/** A file's text; undefined where there is none. */
export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT") return undefined
    throw new UsageError(`${path} cannot be read (${code})`, ["Check the path and its permissions."], { cause: error })
  }
}

/** What engines say goes beside what the command says. */
export function loggerOf(terminal: Terminal): Logger {
  const say = (_: object, text: string) => terminal.err(`${text}\n`)
  return { info: () => {}, warn: say, error: say }
}

/** Everything that is wrong with the settings, as one error. */
export function faulty(faults: readonly SettingsFault[]): UsageError {
  const [first, ...more] = faults.map(({ where, message }) => `${where}: ${message}`)
  return new UsageError(first!, [...more, "`redcar help settings` shows every setting."])
}

/** Undefined where it was stopped before it had started. */
async function startOrSay(
  settings: Settings,
  stopping: AbortSignal,
  flags: Readonly<Record<string, string>>,
): Promise<ServedHub | undefined> {
  const { serveHub } = await import("../../main.ts")
  try {
    return await serveHub(settings, stopping)
  } catch (error) {
    if (stopping.aborted && error === stopping.reason) return undefined
    throw listenFailure(error, settings, flags) ?? error
  }
}

/** Why the hub cannot listen where it is to; undefined where it was something else. */
function listenFailure(
  error: unknown,
  { host, port }: Settings,
  flags: Readonly<Record<string, string>>,
): FailedError | undefined {
  const { code, syscall } = error as NodeJS.ErrnoException
  if (syscall !== "listen" && syscall !== "getaddrinfo") return undefined
  const say = (message: string, next: string) => new FailedError(message, [next], { cause: error })
  const on = (other: number) => commandLine({ ...flags, port: String(other) })
  if (code === "EADDRINUSE") {
    const other = port < 65_535 ? port + 1 : 9_000
    return say(
      `port ${port} on ${host} is taken, perhaps by another hub`,
      `Stop that one, or choose another: ${on(other)}`,
    )
  }
  if (code === "EACCES" || code === "EPERM")
    return say(`this user may not listen on port ${port}`, `Choose one of 1024 or above: ${on(9_000)}`)
  if (code === "EADDRNOTAVAIL") {
    const next = `Choose another: ${commandLine({ ...flags, host: "127.0.0.1" })}, or 0.0.0.0 for all that it has`
    return say(`${host} is no address of this machine`, next)
  }
  const next = `Name an address of this machine: ${commandLine({ ...flags, host: "127.0.0.1" })}`
  return say(`the name ${host} does not resolve (${code})`, next)
}

/** The command that serves with these flags; what is secret is left out, for people to fill in. */
function commandLine(flags: Readonly<Record<string, string>>): string {
  const words = Object.entries(flags).map(([name, value]) => {
    const flag = settingsList.find((setting) => setting.name === name)?.flag ?? `--${name}`
    return `${flag} ${name === "adminKey" || name === "secretsKey" ? "<key>" : shellWord(value)}`
  })
  return ["redcar serve", ...words].join(" ")
}

/** As a shell reads it back. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** Signals that come in a burst are one: a terminal and a wrapper may both pass on the same Ctrl-C. */
const burstMs = 250

/** Aborts at the first SIGINT or SIGTERM; a second one, later, ends the process at once, until `forget` is called. */
function signalled(): { readonly stopping: AbortSignal; forget(): void } {
  const stopping = new AbortController()
  let firstAt: number | undefined
  const onSignal = (signal: NodeJS.Signals) => {
    const now = performance.now()
    firstAt ??= now
    if (now - firstAt > burstMs) process.exit(signal === "SIGINT" ? 130 : 143)
    stopping.abort()
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  const forget = () => {
    process.off("SIGINT", onSignal)
    process.off("SIGTERM", onSignal)
  }
  return { stopping: stopping.signal, forget }
}

function welcome(terminal: Terminal, settings: Settings, address: string): string {
  const colours = coloursFor(terminal, "stdout")
  const elsewhere = address === "http://127.0.0.1:9000" ? "" : ` --url ${address}`
  const data = settings.data === "./data" ? "" : ` --data ${settings.data}`
  const flags = `${elsewhere}${data}`
  if (settings.hold) {
    return `
  ${colours.bold("Redcar")} listens on ${colours.cyan(address)}, with its data in ${settings.data}, for looking only (--hold):
  nothing is routed, delivered or dropped, and publishing is refused.

    redcar doctor${flags}
    redcar trigger list${flags}

  Reference: ${address}/docs    Stop: Ctrl-C

`
  }
  return `
  ${colours.bold("Redcar")} listens on ${colours.cyan(address)}, with its data in ${settings.data}

  Try it, in another terminal:
    redcar tail orders${flags}
    redcar publish orders '{"id": 1}' --type order.created${flags}

  Reference: ${address}/docs    Stop: Ctrl-C

`
}
