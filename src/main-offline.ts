import { join } from "node:path"
import { natsServers } from "./config/relations.ts"
import type { Settings } from "./config/schema.ts"
import type { Chance, Clock } from "./core/clock.ts"
import type { Engine } from "./core/engine.ts"
import type { Logger } from "./core/logger.ts"
import { DirectoryLockedError } from "./engines/embedded/lock.ts"
import { openEmbeddedSource } from "./engines/embedded/source.ts"
import { planScaling, type ScaleOptions, type Scaling } from "./engines/jetstream/scale.ts"
import { openJetStreamSource } from "./engines/jetstream/source.ts"
import { embeddedOptions, openEngine } from "./main.ts"
import { Ledger } from "./migrate/ledger.ts"
import { MigrationRefusedError } from "./migrate/refusal.ts"
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

function running({ directory }: DirectoryLockedError): MigrationRefusedError {
  return new MigrationRefusedError(`a hub runs on ${directory}`, ["Stop it first: what is moved has to be at rest."])
}

/** Plans a change of how NATS keeps what a hub has. Throws as {@link planScaling}. */
export function openScaling(asked: Omit<ScaleOptions, "clock">): Promise<Scaling> {
  return planScaling({ ...asked, clock })
}
