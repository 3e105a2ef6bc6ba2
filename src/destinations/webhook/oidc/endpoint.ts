import type { SenderContext } from "../../../core/destination.ts"
import { SealedError } from "../../../core/secrets.ts"
import type { NoToken, TokenEndpoint } from "../oauth2/endpoint.ts"
import { unlessAborted } from "../unless-aborted.ts"

/** Where the tokens are got that the hub signs itself. */
export function identityEndpoint(identify: NonNullable<SenderContext["identify"]>, audience: string): TokenEndpoint {
  const failed = (error: unknown): NoToken => ({
    detail: `no identity token: ${error instanceof SealedError ? error.message : "the keys that sign it cannot be asked for"}`,
  })
  return {
    fetch: async (signal) =>
      (await unlessAborted(identify(audience).catch(failed), signal)) ?? { detail: "no identity token: stopped" },
    close: async () => {},
  }
}
