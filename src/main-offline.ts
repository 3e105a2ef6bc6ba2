import { join } from "node:path"
import { natsServers } from "./config/relations.ts"
import type { Settings } from "./config/schema.ts"
import type { Chance, Clock } from "./core/clock.ts"
import type { Engine } from "./core/engine.ts"
import { StartRefusedError } from "./core/errors.ts"
import type { Logger } from "./core/logger.ts"
import { openEmbeddedDirectory, type RebuildStep } from "./engines/embedded/engine.ts"
import { openEmbeddedSource } from "./engines/embedded/source.ts"
import { planScaling, type ScaleOptions, type Scaling } from "./engines/jetstream/scale.ts"
import { openJetStreamSource } from "./engines/jetstream/source.ts"
import { DirectoryLockedError, lockForReading } from "./engines/parts/lock.ts"
import { Ledger } from "./migrate/ledger.ts"
import { MigrationRefusedError } from "./migrate/refusal.ts"
import { embeddedOptions, openEngine } from "./opening.ts"
import { createSystemChance, systemClock } from "./telemetry/clock.ts"

const clock = systemClock

/** What a migration works on: both engines open, and the ledger. */
export interface OpenMigration {
  readonly source: Engine
  readonly target: Engine
  readonly ledger: Ledger
  readonly clock: Clock
  readonly chance: Chance
  close(): Promise<void>
}

/** Opens what is moved from and what is moved to. `work`: the ledger's directory. Throws MigrationRefusedError where a hub runs there. */
export async function openMigration(from: Settings, to: Settings, work: string, log: Logger): Promise<OpenMigration> {
  const closing: (() => Promise<unknown>)[] = []
  const close = async () => {
    for (const each of closing.splice(0).reverse()) await each()
  }
  const opened = (engine: Engine) => {
    closing.push(() => engine.close())
    return engine
  }
  try {
    const source = opened(await openSource(from, join(work, "source"), true, log))
    const target = opened(await openEngine(to, log))
    const ledger = Ledger.open(work)
    closing.push(() => ledger.close())
    return { source, target, ledger, clock, chance: createSystemChance(clock), close }
  } catch (error) {
    await close()
    throw error instanceof DirectoryLockedError ? running(error) : error
  }
}

/** Opens what is moved, and changes nothing of it; `work` is for what can be made again. */
function openSource(from: Settings, work: string, atRest: boolean, log: Logger): Promise<Engine> {
  const servers = natsServers(from.engine)
  if (servers === undefined) return openEmbeddedSource(from.data, work, embeddedOptions(from, log))
  const { prefix, credentials, ca } = from.nats
  return openJetStreamSource({
    servers,
    prefix,
    ...(credentials !== "" && { credentialsFile: credentials }),
    ...(ca !== "" && { caFile: ca }),
    directory: work,
    atRest,
    clock,
    log,
  })
}

/**
 * Opens what would be moved, and nothing else; `work` is an empty directory for what can be made again. Throws
 * MigrationRefusedError where a hub runs there.
 */
export async function openToMove(from: Settings, work: string, log: Logger): Promise<Engine> {
  try {
    return await openSource(from, work, false, log)
  } catch (error) {
    throw error instanceof DirectoryLockedError ? running(error) : error
  }
}

/**
 * Opens the folder of a hub that does not run, to see what is wrong with it; nothing there changes. `work`: an empty directory
 * for what can be made again. `notice` is told what an operator should know, one line each. Throws StartRefusedError.
 */
export async function openToCheck(
  settings: Settings,
  work: string,
  notice: (line: string) => void,
  tell: (step: RebuildStep) => void,
): Promise<Engine> {
  const told = { ...embeddedOptions(settings, silent), onNotice: notice, onRebuild: tell }
  try {
    return await openEmbeddedSource(settings.data, work, told)
  } catch (error) {
    if (!(error instanceof DirectoryLockedError)) throw error
    throw new FolderInUseError(`${error.message}, but does not answer here`, [
      "Say where it listens (--url http://host:9000), or wait until it has started.",
    ])
  }
}

/** Who on this machine has the folder open, as its lock says; undefined: nobody. */
export async function folderHolder(directory: string): Promise<string | undefined> {
  try {
    const unlock = await lockForReading(directory)
    await unlock()
    return undefined
  } catch (error) {
    if (error instanceof DirectoryLockedError) return error.owner
    throw error
  }
}

export { adminKeyFault } from "./access/admin-key.ts"

/** A hub runs on the folder that is to be looked at. */
export class FolderInUseError extends StartRefusedError {
  override readonly name = "FolderInUseError"
}

/** Makes the state of a hub that does not run anew from its log, and opens it, as {@link openToCheck}. */
export function openRebuilt(
  settings: Settings,
  notice: (line: string) => void,
  tell: (step: RebuildStep) => void,
): Promise<Engine> {
  const told = { ...embeddedOptions(settings, silent), onNotice: notice, onRebuild: tell }
  return openEmbeddedDirectory(settings.data, { ...told, rebuild: true })
}

const silent: Logger = { info() {}, warn() {}, error() {} }

function running({ directory }: DirectoryLockedError): MigrationRefusedError {
  return new MigrationRefusedError(`a hub runs on ${directory}`, ["Stop it first: what is moved has to be at rest."])
}

/** Plans a change of how NATS keeps what a hub has. Throws as {@link planScaling}. */
export function openScaling(asked: Omit<ScaleOptions, "clock">): Promise<Scaling> {
  return planScaling({ ...asked, clock })
}
