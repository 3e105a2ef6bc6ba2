import { destinationKeys } from "./catalog-keys.ts"
import type { Destination, SigningKey } from "./resources.ts"

/** Encrypts what of resources is secret before it is stored, with keys that the operator holds. */
export interface Secrets {
  /** `of`: the catalog's key of what the text is of; it opens as that alone. Undefined where there is no key to encrypt with. */
  seal(text: string, of: string): string | undefined
  /** The inverse. Throws SealedError. */
  open(sealed: string, of: string): string
  /** Whether {@link Secrets.seal} would take the same key now. */
  isCurrent(sealed: string): boolean
}

/** What is encrypted cannot be opened; `message` says why, and what to do, after the name of what it is of. */
export class SealedError extends Error {
  override readonly name = "SealedError"
}

/** Whoever has no key stores secrets as they are. */
export const noSecrets: Secrets = {
  seal: () => undefined,
  open() {
    throw new SealedError("they are encrypted, and this hub has no key: start it with the setting secretsKey")
  },
  isCurrent: () => true,
}

/** What of a destination is encrypted, as one text: nobody can put another URL beside its secrets. */
export interface SealedParts {
  readonly config: unknown
  readonly signingKeys: readonly SigningKey[]
}

/** A stored destination as it is used, with its secrets. Throws SealedError, which names it. */
export function openDestination(secrets: Secrets, stored: Destination): Destination {
  const { sealed, ...rest } = stored
  if (sealed === undefined) return stored
  try {
    const { config, signingKeys } = JSON.parse(secrets.open(sealed, destinationKeys.of(stored))) as SealedParts
    return { ...rest, config, signingKeys }
  } catch (error) {
    if (!(error instanceof SealedError)) throw error
    throw new SealedError(`the secrets of destination ${stored.id} cannot be read: ${error.message}`, { cause: error })
  }
}
