import { destinationKeys } from "../core/catalog-keys.ts"
import type { Destination } from "../core/resources.ts"
import { openDestination, SealedError, type SealedParts, type Secrets } from "../core/secrets.ts"
import { redact, redacted, replaceSecrets } from "./redaction.ts"
import { RefusedError } from "./refusal.ts"

/**
 * The destination as it is stored: where there is a key, config and signing keys are in `sealed`, and what is secret in
 * them is {@link redacted} beside it. What did not change since `previous` was stored keeps its text.
 */
export function sealDestination(
  secrets: Secrets,
  schema: unknown,
  destination: Destination,
  previous: Destination | undefined,
): Destination {
  const { config, signingKeys } = destination
  const shown = redact(schema, config)
  if (signingKeys.length === 0 && JSON.stringify(shown) === JSON.stringify(config)) return destination
  const [parts, of]: [SealedParts, string] = [{ config, signingKeys }, destinationKeys.of(destination)]
  const text = JSON.stringify(parts)
  const sealed = kept(secrets, text, of, previous?.sealed) ?? secrets.seal(text, of)
  if (sealed === undefined) return destination
  return {
    ...destination,
    config: shown,
    signingKeys: signingKeys.map((key) => ({ ...key, secret: redacted })),
    sealed,
  }
}

function kept(secrets: Secrets, text: string, of: string, sealed: string | undefined): string | undefined {
  if (sealed === undefined || !secrets.isCurrent(sealed)) return undefined
  try {
    return secrets.open(sealed, of) === text ? sealed : undefined
  } catch (error) {
    if (error instanceof SealedError) return undefined
    throw error
  }
}

/** A stored destination that cannot be opened: without its secrets and its signing keys. */
export function withoutSealed(schema: unknown, { sealed: _, ...stored }: Destination): Destination {
  return { ...stored, config: replaceSecrets(schema, stored.config, () => undefined), signingKeys: [] }
}

/** As openDestination; throws RefusedError. */
export function openedDestination(secrets: Secrets, stored: Destination): Destination {
  try {
    return openDestination(secrets, stored)
  } catch (error) {
    throw error instanceof SealedError ? new RefusedError("conflict", error.message) : error
  }
}
