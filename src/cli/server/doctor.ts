import { stat, statfs } from "node:fs/promises"
import { dirname } from "node:path"
import { type Command, Option } from "commander"
import { isLoopbackHost } from "../../config/addresses.ts"
import { formatBytes } from "../../config/quantities.ts"
import type { Figures } from "../../core/figures.ts"
import { type CommonOptions, type Context, examples, withHub } from "../command.ts"
import { CommandError, exitCodes, ProblemError, ToldError, UnreachableError } from "../failures.ts"
import { findHub, type Hub, type HubAddress } from "../hub.ts"
import { asTyped } from "../invocation.ts"
import { coloursFor, printable } from "../terminal.ts"
import { auditHub, type PartitionReport, summary } from "./audit.ts"
import { checkFolder, folderSettings, hasOpen, keyFault, wholeText } from "./folder-check.ts"

/** One thing that was looked at. */
interface Check {
  readonly name: string
  readonly result: "good" | "warning" | "bad" | "skipped"
  readonly detail: string
  /** What to do about it. */
  readonly next?: string
}

export function configure(command: Command, context: Context): void {
  command
    .description("Look at everything that tends to be wrong: the hub, its key, its disk, its log, the clocks.")
    .option("--audit", "also have the hub read all that it stores, and check each event and that none is missing")
    .addOption(
      new Option(
        "--rebuild",
        "make the state of a hub that does not run anew from its log: resources, deliveries, indexes",
      ).conflicts("audit"),
    )
    .action(async (options: DoctorOptions) => {
      if (!options.rebuild) return doctor(context, options)
      const { rebuild } = await import("./rebuild.ts")
      return rebuild(context, options)
    })
  examples(withHub(command), [
    ["redcar doctor", "The hub on this machine"],
    ["redcar doctor --audit", "And every event that it stores"],
    ["redcar doctor --data /var/lib/redcar --audit", "The folder of a hub that does not run; nothing in it changes"],
    ["redcar doctor --rebuild --data /var/lib/redcar", "Make all but its log anew; the hub has to be stopped"],
    ["redcar doctor --url https://hub.example.com --json", "Another one, for programs"],
  ])
}

interface DoctorOptions extends CommonOptions {
  readonly audit?: boolean
  readonly rebuild?: boolean
}

async function doctor(context: Context, options: DoctorOptions): Promise<void> {
  const { terminal } = context
  const address = findHub(options, terminal.env)
  const hub = context.hub(options)
  const answering = await checkAlive(hub)
  const isAnother = answering.alive && !(await hasOpen(hub, address, context, options))
  const alive = isAnother ? { alive: false, checks: [notAsked(hub, options)] } : answering
  const local = isLoopbackHost(new URL(address.url).hostname) || options.data !== undefined
  const checks = [
    checkNode(),
    ...alive.checks,
    ...(alive.alive || !local ? [] : await folderChecks(context, options)),
    ...(alive.alive ? [...(await checkReady(hub)), ...(await checkKeyAndLog(hub, address))] : []),
    await checkKeyFile(address, local),
    await checkDisk(address, local, context, options, alive.alive ? hub : undefined),
    ...(options.audit && alive.alive ? (await auditHub(context, options)).flatMap(checksOf) : []),
  ]
  const bad = checks.some(({ result }) => result === "bad")
  if (options.json) await terminal.out(`${JSON.stringify({ ok: !bad, checks }, null, 2)}\n`)
  else await terminal.out(report(context, checks))
  if (bad) throw new ToldError(answering.alive ? exitCodes.failed : exitCodes.unreachable)
}

function notAsked({ url }: Hub, { data }: DoctorOptions): Check {
  const detail = `${url} answers, but does not have ${data} open: it was not asked, the folder was looked at`
  return { name: "hub", result: "skipped", detail }
}

function report(context: Context, checks: readonly Check[]): string {
  const colours = coloursFor(context.terminal, "stdout")
  const marks = {
    good: colours.green("✓"),
    warning: colours.yellow("!"),
    bad: colours.red("✗"),
    skipped: colours.dim("-"),
  }
  return checks
    .map(({ name, result, detail, next }) => {
      const line = `${marks[result]} ${name.padEnd(9)} ${printable(detail)}`
      return next === undefined
        ? `${line}\n`
        : `${line}\n  ${" ".repeat(9)} ${colours.dim("→")} ${asTyped(next, context.terminal.program)}\n`
    })
    .join("")
}

function checkNode(): Check {
  const name = "node"
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  if (major > 22 || (major === 22 && minor >= 18))
    return { name, result: "good", detail: `Node ${process.versions.node}` }
  return {
    name,
    result: "bad",
    detail: `Node ${process.versions.node} is too old`,
    next: "Redcar needs Node 22.18 or newer.",
  }
}

const skewMsMax = 5_000

async function checkAlive(hub: Hub): Promise<{ readonly alive: boolean; readonly checks: readonly Check[] }> {
  try {
    const before = Date.now()
    const response = await hub.fetch("GET", "/healthz", { timeoutMs: 5_000 })
    const after = Date.now()
    await response.body?.cancel()
    if (!response.ok) {
      const detail = `${hub.url} answers /healthz with ${response.status}; it may be no hub`
      return { alive: false, checks: [{ name: "hub", result: "bad", detail, next: "Check --url." }] }
    }
    const good: Check = { name: "hub", result: "good", detail: `${hub.url} answers in ${after - before} ms` }
    return { alive: true, checks: [good, checkClock(response.headers.get("date"), before, after)] }
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error
    const next = error.next.join("; ")
    return { alive: false, checks: [{ name: "hub", result: "bad", detail: error.message, next }] }
  }
}

/** Compares with the Date header, which has whole seconds. */
function checkClock(date: string | null, before: number, after: number): Check {
  const name = "clock"
  if (date === null) return { name, result: "skipped", detail: "the hub does not say its time" }
  const theirs = Date.parse(date)
  const skewMs = theirs + 1_000 < before ? theirs + 1_000 - before : theirs > after ? theirs - after : 0
  if (Math.abs(skewMs) <= skewMsMax) return { name, result: "good", detail: "the hub's clock and this machine's agree" }
  const detail = `the hub's clock is ${Math.round(Math.abs(skewMs) / 1_000)} s ${skewMs < 0 ? "behind" : "ahead of"} this machine's`
  return {
    name,
    result: "warning",
    detail,
    next: "Signatures are checked against the time: synchronise both clocks (NTP).",
  }
}

interface Readiness {
  readonly degraded?: readonly string[]
  readonly held?: boolean
}

async function checkReady(hub: Hub): Promise<readonly Check[]> {
  const name = "ready"
  const response = await hub.fetch("GET", "/readyz", { timeoutMs: 5_000 })
  const text = await response.text()
  if (!response.ok) {
    const reasons = reasonsIn(text)
    const next = isRoom(reasons) ? await roomNext(hub) : "Look at its log."
    return [{ name, result: "bad", detail: `it is not ready: ${reasons}`, next }]
  }
  const { degraded = [], held = false } = JSON.parse(text) as Readiness
  const takesEvents = !held && !degraded.some((line) => line.includes("publishing is refused"))
  const works = takesEvents ? "it takes events" : "it can be read"
  const next = degraded.some(isRoom) ? await roomNext(hub) : "Mend it before more is lost than the hub can do without."
  const ready: Check =
    degraded.length === 0
      ? { name, result: "good", detail: works }
      : { name, result: "warning", detail: `${works}, but is degraded: ${listed(degraded)}`, next }
  return held ? [ready, onHold] : [ready]
}

const onHold: Check = {
  name: "hold",
  result: "warning",
  detail: "it is held: it routes, delivers and drops nothing, and refuses what is published",
  next: "Start it without --hold when it is to work.",
}

const listedMax = 20

/** The first lines, and how many more there are. */
function listed(lines: readonly string[]): string {
  const more = lines.length - listedMax
  return [...lines.slice(0, listedMax), ...(more > 0 ? [`and ${more} more`] : [])].join("; ")
}

function reasonsIn(text: string): string {
  try {
    const { reasons } = JSON.parse(text) as { readonly reasons?: readonly string[] }
    return reasons === undefined ? text.trim() : reasons.join("; ")
  } catch {
    return text.trim()
  }
}

interface Status {
  readonly version?: string
  readonly health?: readonly string[]
  readonly figures?: Figures
  readonly warnings?: readonly string[]
}

async function checkKeyAndLog(hub: Hub, address: HubAddress): Promise<readonly Check[]> {
  try {
    const status = await hub.json<Status>("GET", "/v1/status", { timeoutMs: 5_000 })
    const key: Check = { name: "key", result: "good", detail: `the hub takes the key (${address.keyFrom})` }
    const version: Check = { name: "version", result: "good", detail: `Redcar ${status.version ?? "unknown"}` }
    const lines = status.health ?? []
    const log: Check =
      lines.length === 0
        ? { name: "log", result: "good", detail: "the engine finds nothing wrong with what it stores" }
        : {
            name: "log",
            result: "bad",
            detail: listed(lines),
            next: [
              ...(lines.every(isRoom) ? [] : [damageNext]),
              ...(lines.some(isRoom) ? [await roomNext(hub)] : []),
            ].join(" "),
          }
    return [version, key, log, ...(status.warnings ?? []).map(asWarning)]
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    const next = error.next.join(" ")
    const refused = error instanceof ProblemError && error.exitCode === exitCodes.refused
    const detail = refused ? `the hub refuses the key: ${error.message}` : error.message
    return [{ name: "key", result: "bad", detail, ...(next === "" ? {} : { next }) }]
  }
}

/** What the folder of a hub that does not answer is like, as far as there is one. */
async function folderChecks(context: Context, options: DoctorOptions): Promise<readonly Check[]> {
  const name = "folder"
  const report = await checkFolder(context, options)
  if (report.kind === "none") return []
  if (report.kind === "refused") {
    return [
      { name, result: "bad", detail: report.detail, ...(report.next.length > 0 && { next: report.next.join("; ") }) },
    ]
  }
  const { directory, lines, audit } = report
  if (lines.length === 0 && (audit === undefined || (audit.findingsCount === 0 && audit.complete)))
    return [{ name, result: "good", detail: wholeText(directory, audit) }]
  const folder: Check = { name, result: "bad", detail: `${directory}: ${listed(lines)}`, next: damageNext }
  return [...(lines.length > 0 ? [folder] : []), ...(audit === undefined ? [] : checksOf(audit))]
}

const damageNext = "docs/damage.md says what each of these means, and what to do."

/** Whether a line of a hub's health is about room on its disk. */
function isRoom(line: string): boolean {
  return /the disk (is nearly|may be) full/.test(line)
}

const [topicsLookedAt, topicsNamed] = [100, 3]

/** What to do for want of room: with the topics that take most, where a hub is there to say so. */
async function roomNext(hub: Hub | undefined): Promise<string> {
  const largest = hub === undefined ? [] : await largestTopics(hub)
  const first = largest[0]?.id ?? "<id>"
  const named = largest.map(({ id, stats }) => `${id} ${roughBytes(stats.bytes)}`).join(", ")
  const next = `Add room to its disk, or let topics keep less: redcar topic update ${first} --retention-age 7d`
  return named === "" ? next : `${next} (largest: ${named})`
}

interface SizedTopic {
  readonly id: string
  readonly stats: { readonly bytes: number }
}

/** Of the first topics that the key may see; none where it may not. */
async function largestTopics(hub: Hub): Promise<readonly SizedTopic[]> {
  const topics: SizedTopic[] = []
  try {
    for await (const { id } of hub.items<{ readonly id: string }>("/v1/topics")) {
      topics.push(await hub.json<SizedTopic>("GET", `/v1/topics/${encodeURIComponent(id)}`, { timeoutMs: 5_000 }))
      if (topics.length === topicsLookedAt) break
    }
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
  }
  return topics.sort((a, b) => b.stats.bytes - a.stats.bytes).slice(0, topicsNamed)
}

/** What an audit found, a line each. */
function checksOf(report: PartitionReport): readonly Check[] {
  const { name, findings, findingsCount, complete } = report
  if (findingsCount === 0 && complete) return [{ name: "audit", result: "good", detail: `${name}: ${summary(report)}` }]
  const more = findingsCount - findings.length
  return [
    { name: "audit", result: findingsCount === 0 ? "warning" : "bad", detail: `${name}: ${summary(report)}` },
    ...findings.map(({ kind, detail }): Check => ({ name: kind, result: "bad", detail: `${name}, ${detail}` })),
    ...(more > 0 ? [{ name: "audit", result: "bad" as const, detail: `${name}: and ${more} more` }] : []),
  ]
}

function asWarning(line: string): Check {
  const [detail = line, next] = line.split("; ", 2)
  return { name: "durability", result: "warning", detail, ...(next !== undefined && { next }) }
}

async function checkKeyFile({ keyFile }: HubAddress, local: boolean): Promise<Check> {
  const name = "key file"
  if (!local) return { name, result: "skipped", detail: "the hub is on another machine" }
  try {
    const { mode } = await stat(keyFile)
    if ((mode & 0o077) === 0 || process.platform === "win32") {
      const [fault, ...next] = (await keyFault(keyFile))?.split(". ") ?? []
      if (fault !== undefined) return { name, result: "bad", detail: fault, next: `${next.join(". ")}.` }
      return { name, result: "good", detail: `${keyFile} is its owner's alone` }
    }
    const shown = (mode & 0o777).toString(8)
    return {
      name,
      result: "bad",
      detail: `${keyFile} can be read by others (mode ${shown})`,
      next: `chmod 600 ${keyFile}`,
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    return {
      name,
      result: "skipped",
      detail: `${keyFile} cannot be looked at (${code})`,
      next: "Say where the hub keeps its data: --data <directory>",
    }
  }
}

const roomBytesLow = 2 ** 30

/** The hub's own judgement, where there is one; of a folder whose hub does not answer, what a start would come to. */
async function checkDisk(
  { keyFile }: HubAddress,
  local: boolean,
  context: Context,
  options: DoctorOptions,
  hub: Hub | undefined,
): Promise<Check> {
  const name = "disk"
  const figures = hub === undefined ? undefined : await figuresOf(hub)
  if (figures?.disk_free_bytes !== undefined) {
    const { disk_free_bytes: free, disk_reserve_bytes: reserve = 0 } = figures
    return judgeRoom(free, reserve, `${roughBytes(free)} free on the hub's disk`, hub)
  }
  if (!local) return { name, result: "skipped", detail: "the hub is on another machine" }
  const directory = dirname(keyFile)
  try {
    const { bavail, bsize, blocks } = await statfs(directory)
    const free = bavail * bsize
    const detail = `${roughBytes(free)} of ${roughBytes(blocks * bsize)} free under ${directory}`
    const reserve = hub === undefined ? folderSettings(options, context.terminal).limits.diskReserveBytes : 0
    return judgeRoom(free, reserve, detail, hub)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined) throw error
    return { name, result: "skipped", detail: `${directory} cannot be looked at (${code})` }
  }
}

async function judgeRoom(free: number, reserve: number, detail: string, hub: Hub | undefined): Promise<Check> {
  const name = "disk"
  if (free < reserve) {
    const why = `less than the ${roughBytes(reserve)} that are kept free (limits.diskReserveBytes): publishing is refused`
    return { name, result: "bad", detail: `${detail}, ${why}`, next: await roomNext(hub) }
  }
  if (free >= Math.max(roomBytesLow, 2 * reserve)) return { name, result: "good", detail }
  const until = reserve > 0 ? `; publishing is refused below ${roughBytes(reserve)}` : ""
  return { name, result: "warning", detail: `${detail}${until}`, next: await roomNext(hub) }
}

/** None where the key may not ask for them. */
async function figuresOf(hub: Hub): Promise<Figures | undefined> {
  try {
    return (await hub.json<Status>("GET", "/v1/status", { timeoutMs: 5_000 })).figures
  } catch (error) {
    if (!(error instanceof CommandError)) throw error
    return undefined
  }
}

/** To a tenth of the unit: `12.3GiB`. */
function roughBytes(bytes: number): string {
  const unit = 2 ** (10 * Math.min(4, Math.max(0, Math.floor(Math.log2(Math.max(1, bytes)) / 10))))
  return `${Math.round((bytes / unit) * 10) / 10}${formatBytes(unit).slice(1)}`
}
