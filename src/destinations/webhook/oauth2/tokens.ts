import type { Clock } from "../../../core/clock.ts"
import { unlessAborted } from "../unless-aborted.ts"
import type { NoToken, Token, TokenEndpoint } from "./endpoint.ts"

/** A token is used no longer than to so much before its end, or to a tenth of its time where that is sooner. */
const marginMs = 60_000
/** Where a receiver refuses every token, one is got anew for it no more often. */
const refusedEveryMs = 60_000

export interface TokensOptions {
  readonly endpoint: TokenEndpoint
  readonly clock: Clock
}

/** The token of one destination: got when it is first needed and when it is about to end, once however many wait for it. */
export class Tokens {
  readonly #options: TokensOptions
  readonly #stop = new AbortController()
  #held: { readonly token: string; readonly until: number } | undefined
  #fetching: Promise<Token | NoToken> | undefined
  #refusedAt = Number.NEGATIVE_INFINITY

  constructor(options: TokensOptions) {
    this.#options = options
  }

  /** Undefined: `signal` aborted before there was one. */
  async token(signal: AbortSignal): Promise<string | NoToken | undefined> {
    const { clock } = this.#options
    if (this.#held && this.#held.until > clock.steady()) return this.#held.token
    const fetched = await unlessAborted(this.#fetch(), signal)
    return fetched && ("token" in fetched ? fetched.token : fetched)
  }

  /**
   * Another token than this one, which a receiver has refused with a 401. Undefined where there is none: one was got for a
   * refusal a short time ago, or `signal` aborted.
   */
  async instead(refused: string, signal: AbortSignal): Promise<string | NoToken | undefined> {
    const now = this.#options.clock.steady()
    if (this.#held?.token === refused) {
      if (now - this.#refusedAt < refusedEveryMs) return undefined
      this.#refusedAt = now
      this.#held = undefined
    }
    const token = await this.token(signal)
    return token === refused ? undefined : token
  }

  async close(): Promise<void> {
    this.#stop.abort()
    await this.#options.endpoint.close()
  }

  #fetch(): Promise<Token | NoToken> {
    this.#fetching ??= this.#fetchAndHold().finally(() => {
      this.#fetching = undefined
    })
    return this.#fetching
  }

  async #fetchAndHold(): Promise<Token | NoToken> {
    const fetched = await this.#options.endpoint.fetch(this.#stop.signal)
    if ("token" in fetched) this.#hold(fetched)
    return fetched
  }

  #hold({ token, lifetimeMs }: Token): void {
    const usableMs = lifetimeMs - Math.min(marginMs, lifetimeMs / 10)
    this.#held = { token, until: this.#options.clock.steady() + usableMs }
  }
}
