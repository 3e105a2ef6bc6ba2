import { existsSync, readdirSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { isLoopbackHost } from "../../config/addresses.ts"
import { loadSettings } from "../../config/load.ts"
import { natsServers } from "../../config/relations.ts"
import type { Settings } from "../../config/schema.ts"
import { StartRefusedError, StorageFullError } from "../../core/errors.ts"
import type { CommonOptions, Context } from "../command.ts"
import type { Hub, HubAddress } from "../hub.ts"
import { startProgress } from "../progress.ts"
import type { Terminal } from "../terminal.ts"
import { type PartitionReport, summary } from "./audit.ts"
import { faulty, readIfThere } from "./serve.ts"

/** What the folder of a hub that does not run is like. */
export type FolderReport =
  | { readonly kind: "none" }
  /** It was not looked at; `next` says what to do. */
  | { readonly kind: "refused"; readonly detail: string; readonly next: readonly string[] }
  | {
      readonly kind: "looked at"
      readonly directory: string
      /** What is wrong with it, one line each. */
      readonly lines: readonly string[]
      readonly audit?: PartitionReport
    }

export interface FolderOptions extends CommonOptions {
  readonly audit?: boolean
}

/** The settings of the hub whose folder is meant: of `--data`, else as `redcar serve` would take them. Throws UsageError. */
export function folderSettings({ data }: CommonOptions, { env }: Terminal): Settings {
  const loaded = loadSettings({ flags: data === undefined ? {} : { data }, env, readFile: readIfThere })
  if (loaded.kind === "faults") throw faulty(loaded.faults)
  return loaded.settings
}

/** What is there of a hub with its own log: all that tells of it, what is left without its log, or nothing. */
export function whatIsLeft({ data }: Settings): "log" | "rest" | "nothing" {
  if (!existsSync(data)) return "nothing"
  // Of what this user may not look into nothing is known: that throws.
  readdirSync(data)
  const has = (name: string) => existsSync(join(data, name))
  if (has("log") && readdirSync(join(data, "log")).length > 0) return "log"
  // A hub on NATS has its key here too.
  return has("state") || (has("admin.key") && !has("nats")) ? "rest" : "nothing"
}

export const logGone = {
  detail: ({ data }: Settings) => `a hub was in ${data}, but its log/ is gone: nothing is left of its events`,
  next: "Bring back log/ from a copy of the data directory; without it the next start begins an empty log.",
}

/** Whether the hub at an address is to be asked about the folder of `--data`: not one that does not have it open. */
export async function hasOpen(hub: Hub, { keyFile }: HubAddress, context: Context, options: FolderOptions) {
  if (options.data === undefined || !isLoopbackHost(new URL(hub.url).hostname)) return true
  const settings = folderSettings(options, context.terminal)
  if (natsServers(settings.engine) !== undefined || whatIsLeft(settings) === "nothing") return true
  const { folderHolder } = await import("../../main-offline.ts")
  const holder = await folderHolder(settings.data)
  if (holder === undefined) return false
  const key = await readFile(keyFile, "utf8").catch(() => "")
  if (key === "") return true
  const authorization = `Bearer ${key.trim()}`
  const answer = await fetch(`${hub.url}/v1/status`, {
    headers: { authorization },
    signal: AbortSignal.timeout(5_000),
  }).catch(() => undefined)
  // A copy has the admin key of what it is a copy of: only the hub itself knows what its lock says.
  if (answer?.ok) return ((await answer.json()) as { readonly holder?: string }).holder === holder
  await answer?.body?.cancel()
  return answer?.status !== 401
}

/** Why a start would refuse the admin key's file. */
export async function keyFault(path: string): Promise<string | undefined> {
  const { adminKeyFault } = await import("../../main-offline.ts")
  return adminKeyFault(path)
}

/** Looks at the folder of a hub that does not run, and changes nothing of it; `audit` reads all events. */
export async function checkFolder(context: Context, options: FolderOptions): Promise<FolderReport> {
  const settings = folderSettings(options, context.terminal)
  const left = whatIsLeft(settings)
  if (natsServers(settings.engine) !== undefined || left === "nothing") return { kind: "none" }
  if (left === "rest") return { kind: "refused", detail: logGone.detail(settings), next: [logGone.next] }
  const work = await mkdtemp(join(tmpdir(), "redcar-doctor-"))
  try {
    return await lookAt(context, settings, work, options.audit === true)
  } catch (error) {
    if (error instanceof StartRefusedError) return { kind: "refused", detail: error.message, next: error.next }
    if (!(error instanceof StorageFullError) && (error as NodeJS.ErrnoException).code === undefined) throw error
    const detail = `${settings.data} cannot be looked at: ${(error as Error).message}`
    return {
      kind: "refused",
      detail,
      next: [`Let this user read it, and have room in ${tmpdir()} for a copy of state/.`],
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
}

async function lookAt({ terminal }: Context, settings: Settings, work: string, all: boolean): Promise<FolderReport> {
  const { openToCheck } = await import("../../main-offline.ts")
  const { data: directory } = settings
  const lines: string[] = []
  const progress = startProgress(terminal, barUnits)
  const tell = (done: number, total: number, what: string) =>
    progress.update(total === 0 ? barUnits : (done / total) * barUnits, what)
  try {
    const notice = (line: string) => void lines.push(line)
    const engine = await openToCheck(settings, work, notice, ({ done, total }) => tell(done, total, "reading the log"))
    try {
      const reading = {
        progress: (done: number, total: number) => tell(done, total, "reading all events"),
        stop: terminal.interrupted(),
      }
      const audit = all ? await engine.audit(0, reading) : undefined
      const found = [...new Set([...lines, ...engine.health()])]
      const report = audit && ({ kind: "report", partition: 0, ...audit } as const)
      return { kind: "looked at", directory, lines: found, ...(report && { audit: report }) }
    } finally {
      await engine.close()
    }
  } finally {
    progress.end()
  }
}

const barUnits = 10_000

/** What is said of a folder in which nothing is wrong. */
export function wholeText(directory: string, audit: PartitionReport | undefined): string {
  const isStateGone = !existsSync(join(directory, "state"))
  const anew = isStateGone ? "; state/ is not there, and the next start makes it anew" : ""
  if (audit !== undefined) return `what is in ${directory} is whole: ${summary(audit)}${anew}`
  const what = isStateGone ? "its files" : "its files, its state"
  return `${what} and the end of its log in ${directory} are whole${anew}; --audit reads all of it`
}
