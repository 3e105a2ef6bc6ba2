import type { SimulatedChance } from "../src/testing/chance.ts"
import { type Doing, doings, someSubject } from "./doings.ts"
import type { Operation, Operations } from "./operations.ts"
import { tenants } from "./scenario.ts"
import type { Workplace } from "./workplace.ts"

/** Does whatever the API can do, in any order, in bursts about the same few things. */
export async function caller(place: Workplace): Promise<void> {
  const { chance, scenario, processes } = place
  const choices = choicesOf(
    place.operations,
    (id) => !scenario.isBrief || id === "publishEvents" || chance.happens(0.5),
  )
  // What a change begins is done in steps: now and then the hub dies between them, or right after it said yes.
  const mayDie = (probability: number, steps: number) => {
    if (scenario.crashes > 0 && chance.happens(probability)) processes.cutAfter(chance.between(1, steps))
  }
  // Ends: with the time for faults.
  while (place.working()) {
    await place.pause((scenario.isBrief ? 300 : 1_100) * chance.next())
    const subject = someSubject(place, chance.pick(tenants))
    const burst = chance.happens(0.3) ? chance.between(3, 10) : 1
    for (let i = 0; i < burst && place.working(); i++) {
      const { operation, doing } = pick(choices, chance)
      mayDie(0.01, 60)
      await doing.run(place, subject, operation)
      mayDie(0.02, 5)
    }
  }
}

interface Choice {
  readonly operation: Operation
  readonly doing: Doing
  /** Of all choices up to this one. */
  readonly weight: number
}

/** Throws where an operation of the API is neither done nor exempt, or none that the API has is. `takes`: which of them. */
export function choicesOf(operations: Operations, takes: (id: string) => boolean = () => true): readonly Choice[] {
  const unknown = Object.keys(doings).filter((id) => !operations.has(id))
  if (unknown.length > 0) throw new Error(`the API has no operations ${unknown.join(", ")}`)
  const choices: Choice[] = []
  for (const operation of operations.values()) {
    const doing = doings[operation.id]
    if (doing === undefined)
      throw new Error(`the workload leaves out ${operation.id}: do it, or exempt it in doings.ts`)
    if ("exempt" in doing || !takes(operation.id)) continue
    choices.push({ operation, doing, weight: doing.weight + (choices.at(-1)?.weight ?? 0) })
  }
  return choices
}

function pick(choices: readonly Choice[], chance: SimulatedChance): Choice {
  const at = chance.next() * choices.at(-1)!.weight
  return choices.find(({ weight }) => at < weight)!
}
