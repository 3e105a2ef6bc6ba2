import { scan } from "../core/catalog-scan.ts"
import type { ResourceContext } from "./context.ts"
import { RefusedError } from "./refusal.ts"
import type { ResourceType, Stored } from "./resource-type.ts"

/** Of the room that was counted, one process uses this part before it counts again: others may use it as well. */
const share = 1 / 8

/**
 * Sees to it that a tenant has no more resources of one type than it may. To count costs a look at each, so it is done the
 * more often the less room there is.
 */
export class Counts {
  readonly #context: Pick<ResourceContext, "engine" | "clock">
  readonly #type: Pick<ResourceType<Stored>, "keys" | "plural" | "countMax">
  /** How many more of a tenant's this process may make before it counts them again. */
  readonly #uncounted = new Map<string, number>()

  constructor(
    context: Pick<ResourceContext, "engine" | "clock">,
    type: Pick<ResourceType<Stored>, "keys" | "plural" | "countMax">,
  ) {
    this.#context = context
    this.#type = type
  }

  /** Throws RefusedError where the tenant has as many as it may. */
  async refuseMore(tenant: string): Promise<void> {
    const { countMax, keys, plural } = this.#type
    if (countMax === undefined || (this.#uncounted.get(tenant) ?? 0) > 0) return
    let count = 0
    await scan<unknown>(this.#context, keys.ofTenant(tenant), () => ++count < countMax)
    if (count >= countMax) {
      throw new RefusedError("conflict", `there are ${countMax} ${plural}, which is the most; delete some first`)
    }
    this.#uncounted.set(tenant, Math.floor((countMax - count) * share))
  }

  /** One more of the tenant's is there. */
  made(tenant: string): void {
    const left = this.#uncounted.get(tenant)
    if (left !== undefined) this.#uncounted.set(tenant, Math.max(0, left - 1))
  }
}
