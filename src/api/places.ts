import { ProblemError } from "./errors.ts"

/** How much of something each tenant holds. */
export class Holdings {
  readonly #of = new Map<string, number>()

  of(tenant: string): number {
    return this.#of.get(tenant) ?? 0
  }

  /** `more` may be less than 0. */
  add(tenant: string, more: number): void {
    const held = this.of(tenant) + more
    if (held === 0) this.#of.delete(tenant)
    else this.#of.set(tenant, held)
  }
}

/** So many at a time of all tenants together; one tenant has half of them at most, so that none keeps out the others. */
export class Places {
  readonly #max: number
  readonly #what: string
  readonly #instead: string
  readonly #held = new Holdings()
  #open = 0

  /** `what`, in the plural, and what to do `instead` are what a refusal tells. */
  constructor(max: number, what: string, instead: string) {
    this.#max = max
    this.#what = what
    this.#instead = instead
  }

  get open(): number {
    return this.#open
  }

  /** How many this tenant has. */
  of(tenant: string): number {
    return this.#held.of(tenant)
  }

  /** What it answers gives the place back, and is to be called once. Throws ProblemError where there is none. */
  take(tenant: string): () => void {
    const half = this.#max / 2
    if (this.#held.of(tenant) >= half)
      throw this.#full(`tenant ${tenant} has ${half} ${this.#what} open already, as many as one may`)
    if (this.#open >= this.#max) throw this.#full(`${this.#max} ${this.#what} are open already`)
    this.#open++
    this.#held.add(tenant, 1)
    return () => {
      this.#open--
      this.#held.add(tenant, -1)
    }
  }

  #full(detail: string): ProblemError {
    return new ProblemError("overloaded", `${detail}; ${this.#instead}`, { headers: { "retry-after": "5" } })
  }
}
