/** What a receiver agreed to. */
export interface Consent {
  /** Deliveries a minute at most; undefined: as many as there are. */
  readonly perMinute: number | undefined
}

/** What a `WebHook-Allowed-Rate` says, where `asked` was asked for: who does not say one is sent to no faster. */
export function allowedRate(header: string | undefined, asked: number | undefined): number | undefined {
  const rate = header?.trim()
  if (rate === "*") return undefined
  return rate !== undefined && /^[1-9]\d{0,8}$/.test(rate) ? Number(rate) : asked
}

/** Consents that are remembered at most; of more the oldest are asked for again. */
const keptMax = 10_000

/** What receivers agreed to in this process, by who asked whom for what. */
export class Consents {
  readonly #all = new Map<string, Consent>()

  of(key: string): Consent | undefined {
    return this.#all.get(key)
  }

  add(key: string, consent: Consent): void {
    this.#all.set(key, consent)
    if (this.#all.size > keptMax) this.#all.delete(this.#all.keys().next().value!)
  }
}
