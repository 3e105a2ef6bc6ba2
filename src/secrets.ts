import { readFileSync } from "node:fs"
import { KeyStore } from "./access/identity/keys.ts"
import { createSecrets, readSecretsKeys } from "./access/secrets.ts"
import type { Settings } from "./config/schema.ts"
import { destinationKeys } from "./core/catalog-keys.ts"
import { scan } from "./core/catalog-scan.ts"
import type { Clock } from "./core/clock.ts"
import type { DestinationKind } from "./core/destination.ts"
import type { Engine } from "./core/engine.ts"
import { StartRefusedError } from "./core/errors.ts"
import type { Logger } from "./core/logger.ts"
import type { Destination } from "./core/resources.ts"
import { openDestination, SealedError, type Secrets } from "./core/secrets.ts"
import { sealDestination } from "./resources/sealing.ts"

/** What `secretsKey` says cannot be used. */
export class SecretsKeyError extends StartRefusedError {
  override readonly name = "SecretsKeyError"
}

/** The keys that the settings name. Throws SecretsKeyError. */
export function openSecrets({ secretsKey }: Pick<Settings, "secretsKey">): Secrets {
  const keys = readSecretsKeys(secretsKey, (path) => readFileSync(path, "utf8"))
  if ("message" in keys) throw new SecretsKeyError(`secretsKey: ${keys.message}`)
  return createSecrets(keys)
}

export interface SecretsTold {
  readonly engine: Pick<Engine, "catalog">
  readonly clock: Clock
  readonly kinds: ReadonlyMap<string, DestinationKind>
  readonly secrets: Secrets
  readonly log: Logger
}

/**
 * Encrypts the keys that sign identity tokens with the first key, where another one has, or none: whatever becomes of the
 * other, they can be read. Tells where they cannot be now.
 */
export async function sealIdentityKeys({ engine: { catalog }, clock, secrets, log }: SecretsTold): Promise<void> {
  try {
    await new KeyStore({ catalog, clock, secrets }).reseal()
  } catch (error) {
    if (!(error instanceof SealedError)) throw error
    log.error({}, `nothing is sent to destinations with auth.oidc: ${error.message}`)
  }
}

/** Destinations that are told of by name at most. */
const namesMax = 10

/**
 * Tells at the start of destinations whose secrets cannot be read; and where there is a key, of those whose secrets it has not
 * encrypted yet, so that it is known when an older key can go.
 */
export async function tellSecrets({ engine, clock, kinds, secrets, log }: SecretsTold): Promise<void> {
  const [unreadable, waiting] = [new Named(), new Named()]
  await scan<Destination>({ engine, clock }, destinationKeys.prefix, ({ key, value }) => {
    const state = stateOf(secrets, kinds.get(value.kind)?.config, value)
    if (state instanceof SealedError) unreadable.add(destinationKeys.pathIn(key), state.message)
    else if (state === "waiting") waiting.add(destinationKeys.pathIn(key))
    return true
  })
  if (unreadable.count > 0)
    log.error(
      { destinations: unreadable.names, count: unreadable.count },
      `nothing is sent to them: ${unreadable.detail}`,
    )
  if (waiting.count > 0) {
    const what = "the secrets of these destinations are not encrypted with the first key of secretsKey"
    log.info(
      { destinations: waiting.names, count: waiting.count },
      `${what} until they are written: redcar destination update <id>`,
    )
  }
}

function stateOf(secrets: Secrets, schema: unknown, stored: Destination): "sealed" | "waiting" | SealedError {
  try {
    openDestination(secrets, stored)
    const asWritten = sealDestination(secrets, schema, stored, undefined)
    const isAsWritten = stored.sealed === undefined ? asWritten === stored : secrets.isCurrent(stored.sealed)
    return isAsWritten ? "sealed" : "waiting"
  } catch (error) {
    if (error instanceof SealedError) return error
    throw error
  }
}

class Named {
  readonly names: string[] = []
  count = 0
  detail = ""

  add(name: string, detail = ""): void {
    if (this.count++ === 0) this.detail = detail
    if (this.names.length < namesMax) this.names.push(name)
  }
}
