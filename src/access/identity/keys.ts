import { createHash, createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from "node:crypto"
import { promisify } from "node:util"
import type { Catalog, Item } from "../../core/catalog.ts"
import { identityKey } from "../../core/catalog-keys.ts"
import type { Clock } from "../../core/clock.ts"
import { changeAgainst } from "../../core/conflicts.ts"
import { SealedError, type Secrets } from "../../core/secrets.ts"
import {
  aheadMs,
  type IdentityKeys,
  isNextDue,
  type PublicKey,
  pendingKey,
  publishedKeys,
  type StoredIdentityKey,
  signingKey,
} from "./schedule.ts"

/** The one algorithm that receivers have to know (OpenID Connect Core, 15.1), and the only one that many do. */
export const algorithm = "RS256"
const modulusBits = 2_048

export interface KeyStoreOptions {
  readonly catalog: Catalog
  readonly clock: Clock
  readonly secrets: Secrets
  /** Makes a private key; default: RSA of 2,048 bits, by the system's random source. */
  readonly makeKey?: (() => Promise<KeyObject>) | undefined
}

/** A private key that signs, and its name. */
export interface Signing {
  readonly kid: string
  readonly key: KeyObject
}

/**
 * The keys that sign identity tokens: made when they are first needed, one for all processes of the hub, and followed by
 * another when their time is over. The catalog has them, and of several processes that make one the first wins.
 */
export class KeyStore {
  readonly #options: KeyStoreOptions
  /** What was opened last. */
  #opened: Signing | undefined
  /** The first key, and the next one, while they are made: once, however many want them. */
  #first: Promise<IdentityKeys> | undefined
  #rotating: Promise<readonly StoredIdentityKey[] | undefined> | undefined

  constructor(options: KeyStoreOptions) {
    this.#options = options
  }

  /** The key that signs now. Throws SealedError. */
  async signing(): Promise<Signing> {
    const { clock } = this.#options
    let { keys } = await this.#stored()
    if (isNextDue(keys, clock.now())) keys = await this.#next(keys)
    const { kid } = signingKey(keys, clock.now())
    if (this.#opened?.kid !== kid) {
      const stored = keys.find((each) => each.kid === kid)!
      this.#opened = { kid, key: createPrivateKey(this.#open(stored)) }
    }
    return this.#opened
  }

  /** The keys that receivers are to know, as the catalog has them now. */
  async published(): Promise<readonly StoredIdentityKey[]> {
    const { keys } = await this.#stored({ newest: true })
    return publishedKeys(keys, this.#options.clock.now())
  }

  /**
   * Makes the next key before its time: it signs a day from now, or, where the old ones are revoked, at once, and they are
   * published no more. Answers the keys that are published then, the new one last; undefined where the next one is there already.
   */
  rotate({ revoke }: { readonly revoke: boolean }): Promise<readonly StoredIdentityKey[] | undefined> {
    const { clock, catalog } = this.#options
    return changeAgainst(clock, "the keys of identity tokens", async () => {
      const item = await catalog.get<IdentityKeys>(identityKey, { newest: true })
      const now = clock.now()
      if (item !== undefined && !revoke && pendingKey(item.value.keys, now) !== undefined) return undefined
      const before = revoke || item === undefined ? [] : publishedKeys(item.value.keys, now)
      const made = await this.#make(before.length === 0 ? now : now + aheadMs)
      const keys = [...before, made]
      await catalog.put(identityKey, { keys } satisfies IdentityKeys, item?.revision ?? 0)
      return keys
    })
  }

  /** Encrypts with the first key of `secretsKey` what is not yet. Throws SealedError where one cannot be read. */
  async reseal(): Promise<void> {
    const { catalog, clock, secrets } = this.#options
    await changeAgainst(clock, "the keys of identity tokens", async () => {
      const item = await catalog.get<IdentityKeys>(identityKey, { newest: true })
      if (item === undefined) return
      const keys = item.value.keys.map((stored) => {
        if (stored.sealed !== undefined && secrets.isCurrent(stored.sealed)) return stored
        const { sealed: _, privateKey: __, ...rest } = stored
        return { ...rest, ...this.#close(this.#open(stored)) }
      })
      if (JSON.stringify(keys) === JSON.stringify(item.value.keys)) return
      await catalog.put(identityKey, { keys } satisfies IdentityKeys, item.revision)
    })
  }

  /** What is stored; where nothing is, a first key is made, which signs at once. */
  async #stored(options: { readonly newest?: boolean } = {}): Promise<IdentityKeys> {
    const item = await this.#options.catalog.get<IdentityKeys>(identityKey, options)
    if (item !== undefined) return item.value
    this.#first ??= this.#makeFirst().finally(() => {
      this.#first = undefined
    })
    return this.#first
  }

  #makeFirst(): Promise<IdentityKeys> {
    const { catalog, clock } = this.#options
    return changeAgainst(clock, "the keys of identity tokens", async () => {
      const now: Item<IdentityKeys> | undefined = await catalog.get<IdentityKeys>(identityKey, { newest: true })
      if (now !== undefined) return now.value
      const first = { keys: [await this.#make(clock.now())] }
      await catalog.put(identityKey, first, 0)
      return first
    })
  }

  /** The keys with the next one, where that can be made: else the one that signs goes on. */
  async #next(keys: readonly StoredIdentityKey[]): Promise<readonly StoredIdentityKey[]> {
    this.#rotating ??= this.rotate({ revoke: false }).finally(() => {
      this.#rotating = undefined
    })
    try {
      return (await this.#rotating) ?? keys
    } catch {
      return keys
    }
  }

  async #make(signsFrom: number): Promise<StoredIdentityKey> {
    const { makeKey = makeRsaKey, clock } = this.#options
    const key = await makeKey()
    const { n, e } = createPublicKey(key).export({ format: "jwk" })
    const publicKey = { kty: "RSA", n: n!, e: e! } as const
    const pem = key.export({ format: "pem", type: "pkcs8" }).toString()
    return { kid: thumbprint(publicKey), publicKey, createdAt: clock.now(), signsFrom, ...this.#close(pem) }
  }

  #close(pem: string): Pick<StoredIdentityKey, "privateKey" | "sealed"> {
    const sealed = this.#options.secrets.seal(pem, identityKey)
    return sealed === undefined ? { privateKey: pem } : { sealed }
  }

  #open({ privateKey, sealed }: StoredIdentityKey): string {
    if (sealed === undefined) return privateKey!
    try {
      return this.#options.secrets.open(sealed, identityKey)
    } catch (error) {
      if (!(error instanceof SealedError)) throw error
      throw new SealedError(`the keys that sign identity tokens cannot be read: ${error.message}`, { cause: error })
    }
  }
}

async function makeRsaKey(): Promise<KeyObject> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: modulusBits })
  return privateKey
}

/** RFC 7638, 3. */
function thumbprint({ e, kty, n }: PublicKey): string {
  return createHash("sha256").update(JSON.stringify({ e, kty, n })).digest("base64url")
}
