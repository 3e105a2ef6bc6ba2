import { createHash, randomBytes, timingSafeEqual } from "node:crypto"
import type { Catalog } from "../core/catalog.ts"
import { destinationKeys, handshakeKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import { changeAgainst } from "../core/conflicts.ts"
import type { Asked, Callbacks } from "../core/destination.ts"
import { OverloadError } from "../core/errors.ts"
import type { IdentityOf } from "../core/identity.ts"
import type { Agreement, Destination } from "../core/resources.ts"
import { createMissLimit, type MissLimit } from "./miss-limit.ts"

/** For so long a receiver may call back; a URL is given out once more for half of it. */
export const callbackMs = 86_400_000
/** URLs of one destination that can be called: each process gives out its own. Of more the oldest end. */
const callbacksMax = 16
/** URLs that are given out once more, of all destinations. */
const givenMax = 10_000
/** Tokens that are looked up, per second. */
const lookupsPerSecond = 100
const tokenBytes = 32
const pathForm = /^[\w.~-]{1,200}\/[\w.~-]{1,200}$/

/** A URL that a receiver may call, by the hash of what cannot be guessed in it. */
interface StoredCallback {
  readonly sha256: string
  /** What it was asked; see Asked. */
  readonly asked: string
  readonly until: number
}

/** What the catalog has of one destination. */
interface StoredCallbacks {
  readonly callbacks: readonly StoredCallback[]
}

interface Given {
  readonly url: string
  readonly stored: StoredCallback
}

export interface HandshakeCallbacksOptions {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly publicUrl: string
}

/** What the receiver of a destination is asked now, as its kind says; undefined: nothing. */
export type AskedOf = (destination: Destination) => Asked | undefined

/** The URLs by which receivers agree later to what they were asked: each is good once, for a day, and for its destination alone. */
export class HandshakeCallbacks implements Callbacks {
  readonly #options: HandshakeCallbacksOptions
  readonly #given = new Map<string, Given>()
  readonly #lookups: MissLimit

  constructor(options: HandshakeCallbacksOptions) {
    this.#options = options
    this.#lookups = createMissLimit(options.clock, lookupsPerSecond)
  }

  async url(of: IdentityOf, asked: string): Promise<string> {
    const { catalog, clock, publicUrl } = this.#options
    const path = `${of.tenant}/${of.destination}`
    const given = this.#given.get(`${path} ${asked}`)
    const key = handshakeKeys.at(path)
    if (given !== undefined && given.stored.until - clock.now() > callbackMs / 2) {
      const stored = (await catalog.get<StoredCallbacks>(key))?.value.callbacks ?? []
      if (stored.some(({ sha256 }) => sha256 === given.stored.sha256)) return given.url
    }
    const secret = randomBytes(tokenBytes).toString("base64url")
    const made: StoredCallback = { sha256: hashOf(secret).toString("hex"), asked, until: clock.now() + callbackMs }
    await changeAgainst(clock, `the handshake of destination ${of.destination}`, async () => {
      const item = await catalog.get<StoredCallbacks>(key, { newest: true })
      const live = (item?.value.callbacks ?? []).filter(({ until }) => until > clock.now())
      const callbacks = [...live, made].slice(-callbacksMax)
      await catalog.put(key, { callbacks } satisfies StoredCallbacks, item?.revision ?? 0)
    })
    const url = `${publicUrl}/v1/handshakes/${Buffer.from(path).toString("base64url")}.${secret}`
    this.#given.delete(`${path} ${asked}`)
    this.#given.set(`${path} ${asked}`, { url, stored: made })
    if (this.#given.size > givenMax) this.#given.delete(this.#given.keys().next().value!)
    return url
  }

  /**
   * Notes with the destination that its receiver agrees, by the token of a URL that was given out; `rate` makes of what was asked
   * what was agreed to. False where it is none, was called already, or is over, and where the destination is another by now.
   * Throws OverloadError where there are too many.
   */
  async agree(token: string, askedOf: AskedOf, rate: (asked: Asked) => number | undefined): Promise<boolean> {
    const { clock } = this.#options
    const [encoded = "", secret = "", ...more] = token.split(".")
    const path = Buffer.from(encoded, "base64url").toString()
    if (!pathForm.test(path) || secret.length !== 43 || more.length > 0) return false
    if (!this.#lookups.ask()) throw new OverloadError(1_000, "too many callbacks at once")
    // Before it is known to be none: as many as come at once would be looked up otherwise.
    this.#lookups.count()
    return changeAgainst(clock, "the destination", () => this.#spend(path, secret, askedOf, rate))
  }

  async #spend(
    path: string,
    secret: string,
    askedOf: AskedOf,
    rate: (asked: Asked) => number | undefined,
  ): Promise<boolean> {
    const { catalog, clock } = this.#options
    const [kept, destination] = await Promise.all([
      catalog.get<StoredCallbacks>(handshakeKeys.at(path), { newest: true }),
      catalog.get<Destination>(destinationKeys.at(path), { newest: true }),
    ])
    const all = kept?.value.callbacks ?? []
    const hash = hashOf(secret)
    const found = all.find(({ sha256 }) => timingSafeEqual(Buffer.from(sha256, "hex"), hash))
    const asked = destination && askedOf(destination.value)
    const now = clock.now()
    if (kept === undefined || destination === undefined || found === undefined || asked === undefined) return false
    if (found.until <= now || found.asked !== asked.what) return false
    const perMinute = rate(asked)
    const agreement: Agreement = { asked: asked.what, at: now, ...(perMinute !== undefined && { perMinute }) }
    const callbacks = all.filter((each) => each !== found)
    await catalog.change([
      { key: destination.key, value: { ...destination.value, agreement }, expected: destination.revision },
      { key: kept.key, value: callbacks.length === 0 ? undefined : { callbacks }, expected: kept.revision },
    ])
    return true
  }
}

/** It is of 256 random bits: nothing slower is needed. */
function hashOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest()
}
