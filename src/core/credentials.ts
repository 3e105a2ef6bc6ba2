/** Lets others publish and read past the hub, in the engine itself, each the events of one tenant only. */
export interface TenantCredentials {
  /** Throws OverloadError where the engine does not answer; then it may be tried again. */
  issue(tenant: string, options: CredentialsOptions): Promise<IssuedCredentials>
  /**
   * Ends all credentials of the tenant that were issued before, also where they are in use; those issued after it has resolved
   * are good. Throws OverloadError.
   */
  revoke(tenant: string): Promise<RevokedCredentials>
}

export interface CredentialsOptions {
  /** Which consumer they read with, of those that share nothing but the events; default: the tenant's one. */
  readonly consumer?: string
  readonly expiresInMs: number
}

export type IssuedCredentials =
  | {
      readonly kind: "issued"
      /** What the client's file holds. Nobody else has it. */
      readonly text: string
      /** Unix milliseconds. */
      readonly expiresAt: number
      /** Where they may publish. */
      readonly subject: string
      /** What they read with, of each of the streams. */
      readonly consumer: string
      readonly streams: readonly string[]
    }
  | { readonly kind: "refused"; readonly reason: string }

/** `unknown`: none was ever issued. */
export type RevokedCredentials =
  | { readonly kind: "revoked" }
  | { readonly kind: "unknown" }
  | { readonly kind: "refused"; readonly reason: string }
