import { existsSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadSettings } from "../config/load.ts"
import { natsServers } from "../config/relations.ts"
import type { Settings } from "../config/schema.ts"
import { StartRefusedError, StorageFullError } from "../core/errors.ts"
import { type PartitionReport, summary } from "./audit.ts"
import type { CommonOptions, Context } from "./command.ts"
import { startProgress } from "./progress.ts"
import { faulty, readIfThere } from "./serve.ts"
import type { Terminal } from "./terminal.ts"

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

/** Whether a hub with its own log has ever been there. */
export function holdsHub({ data }: Settings): boolean {
  return existsSync(join(data, "log"))
}

/** Looks at the folder of a hub that does not run, and changes nothing of it; `audit` reads all events. */
export async function checkFolder(context: Context, options: FolderOptions): Promise<FolderReport> {
  const settings = folderSettings(options, context.terminal)
  if (natsServers(settings.engine) !== undefined || !holdsHub(settings)) return { kind: "none" }
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
  const { openToCheck } = await import("../main-offline.ts")
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
  if (audit !== undefined) return `what is in ${directory} is whole: ${summary(audit)}`
  return `its files, its state and the end of its log in ${directory} are whole; --audit reads all of it`
}
