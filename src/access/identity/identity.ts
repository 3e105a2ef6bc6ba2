import { sign } from "node:crypto"
import type { Clock } from "../../core/clock.ts"
import type { Identity, IdentityOf, IdentityToken } from "../../core/identity.ts"
import { algorithm, KeyStore, type KeyStoreOptions } from "./keys.ts"
import { type PublicKey, type StoredIdentityKey, tokenMs } from "./schedule.ts"

/** What is published is read from the catalog no more often, however many ask. */
const publishedForMs = 5_000

/** A key as receivers read it (RFC 7517). */
export interface JsonWebKey extends PublicKey {
  readonly kid: string
  readonly use: "sig"
  readonly alg: typeof algorithm
}

export interface HubIdentityOptions extends KeyStoreOptions {
  /** The hub's public URL. */
  readonly issuer: string
}

/** Who the hub is to receivers: the tokens that it signs (RFC 7519), and what they check them by. */
export class HubIdentity implements Identity {
  readonly issuer: string
  readonly #keys: KeyStore
  readonly #clock: Clock
  #read: { readonly at: number; readonly keys: Promise<readonly JsonWebKey[]> } | undefined

  constructor({ issuer, ...options }: HubIdentityOptions) {
    this.issuer = issuer
    this.#clock = options.clock
    this.#keys = new KeyStore(options)
  }

  async issue({ tenant, destination }: IdentityOf, audience: string): Promise<IdentityToken> {
    const { kid, key } = await this.#keys.signing()
    const iat = Math.floor(this.#clock.now() / 1_000)
    const claims = {
      ...{ iss: this.issuer, sub: `${tenant}/${destination}`, aud: audience },
      ...{ iat, exp: iat + tokenMs / 1_000 },
    }
    const text = `${encoded({ alg: algorithm, typ: "JWT", kid })}.${encoded(claims)}`
    const signature = sign("RSA-SHA256", Buffer.from(text), key).toString("base64url")
    return { token: `${text}.${signature}`, lifetimeMs: tokenMs }
  }

  /** The keys that receivers are to know. */
  published(): Promise<readonly JsonWebKey[]> {
    const now = this.#clock.steady()
    if (this.#read !== undefined && now - this.#read.at < publishedForMs) return this.#read.keys
    const read = { at: now, keys: this.#keys.published().then((keys) => keys.map(shown)) }
    this.#read = read
    read.keys.catch(() => {
      if (this.#read === read) this.#read = undefined
    })
    return read.keys
  }

  /** As {@link KeyStore.rotate}. */
  async rotate(how: { readonly revoke: boolean }): Promise<readonly StoredIdentityKey[] | undefined> {
    const keys = await this.#keys.rotate(how)
    this.#read = undefined
    return keys
  }

  /** As {@link KeyStore.reseal}. */
  reseal(): Promise<void> {
    return this.#keys.reseal()
  }
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url")
}

function shown({ kid, publicKey }: StoredIdentityKey): JsonWebKey {
  return { ...publicKey, kid, use: "sig", alg: algorithm }
}
