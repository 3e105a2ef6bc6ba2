/** A token that the hub has signed, and for how long it holds. */
export interface IdentityToken {
  readonly token: string
  readonly lifetimeMs: number
}

/** Whom a token is of: the destination that events go to, and never what somebody says. */
export interface IdentityOf {
  readonly tenant: string
  readonly destination: string
}

/** Signs, in the hub's name, for which destination it sends. */
export interface Identity {
  /**
   * A new token for this audience. Throws SealedError where the key that signs cannot be read, and what the catalog throws where
   * that cannot be asked.
   */
  issue(of: IdentityOf, audience: string): Promise<IdentityToken>
}
