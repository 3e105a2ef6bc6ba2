import Type, { type Static } from "typebox"
import { triggerKeys } from "../../core/catalog-keys.ts"
import { laneOf } from "../../core/delivery.ts"
import type { OpenDelivery } from "../../core/open-delivery.ts"
import type { Trigger } from "../../core/resources.ts"
import { choice } from "../../resources/schemas.ts"
import type { ApiContext } from "../context.ts"

/** The members of an open delivery that say what it waits for beside its time. */
export const heldBackFields = {
  waitsFor: Type.Optional(
    choice(["trigger", "destination"], {
      description:
        "What holds it back, also where it is due: its trigger, which is paused, or its destination, which rests or is down.",
    }),
  ),
  nextAt: Type.Optional(
    Type.String({
      format: "date-time",
      description:
        "When it is tried next, as far as is known: a destination that is asked now and then may be down still.",
    }),
  ),
}

const Fields = Type.Object(heldBackFields)
export type HeldBack = Static<typeof Fields>

/** Tells of one tenant's open deliveries what holds them back: triggers and destinations are looked up once each. */
export class HeldBacks {
  readonly #context: ApiContext
  readonly #tenant: string
  readonly #paused = new Map<string, boolean>()
  /** Until when destinations rest, by lane; 0: they do not, or it is not known. */
  readonly #resting = new Map<string, number>()

  constructor(context: ApiContext, tenant: string) {
    this.#context = context
    this.#tenant = tenant
  }

  /** Looks up what those that follow need. */
  async look(open: readonly OpenDelivery[]): Promise<void> {
    const { catalog, queue } = this.#context.engine
    for (const { delivery } of open) {
      const { trigger } = delivery
      if (this.#paused.has(trigger)) continue
      const item = await catalog.get<Trigger>(triggerKeys.of({ tenant: this.#tenant, id: trigger }))
      this.#paused.set(trigger, item?.value.paused !== undefined)
    }
    const lanes = new Set(open.map(({ delivery }) => laneOf(delivery)).filter((lane) => !this.#resting.has(lane)))
    if (lanes.size === 0) return
    const found = await queue.statusOf([...lanes])
    for (const lane of lanes) this.#resting.set(lane, found.get(lane)?.report?.restsUntil ?? 0)
  }

  /** Of a delivery that was among those looked at. */
  of({ delivery, state, dueAt }: OpenDelivery): HeldBack {
    if (state === "leased") return {}
    if (state === "held" || this.#paused.get(delivery.trigger) === true) return { waitsFor: "trigger" }
    const restsUntil = this.#resting.get(laneOf(delivery)) ?? 0
    const isResting = restsUntil > Math.max(dueAt, this.#context.clock.now())
    const nextAt = new Date(isResting ? restsUntil : dueAt).toISOString()
    return { ...(isResting && { waitsFor: "destination" }), nextAt }
  }
}
