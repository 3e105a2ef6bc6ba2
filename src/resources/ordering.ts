import Type, { type Static } from "typebox"
import type { Ordering } from "../core/resources.ts"
import { orderByFault } from "../filters/order-key.ts"
import type { Faults } from "./faults.ts"
import { choice, component, strict } from "./schemas.ts"

/** The `ordering` of a trigger. */
export const OrderingSchema = component(
  "Ordering",
  strict(
    {
      by: Type.Optional(
        Type.String({
          default: "partitionkey",
          description:
            "What the key is: an attribute, or a member of the data. Events that do not have it are delivered in no order.",
          examples: ["partitionkey", "subject", "data.customer.id"],
        }),
      ),
      deadLetter: Type.Optional(
        choice(["continue", "hold"], {
          default: "continue",
          description:
            "What a dead letter is to the events of its key that come after it. continue: they are delivered. hold: they wait " +
            "until it is redriven or discarded.",
        }),
      ),
    },
    {
      description:
        "Events of one key are delivered one after the other, in the order in which they were stored, through all retries. " +
        "Other keys flow meanwhile. Absent: in no order, and as many at once as the destination takes.",
    },
  ),
)

/** The ordering that a trigger is to have; `faults` are told what is wrong with it. */
export function readOrdering(
  ordering: Static<typeof OrderingSchema> | undefined,
  faults: Faults,
): Ordering | undefined {
  if (ordering === undefined || !faults.clean("ordering")) return undefined
  const { by = "partitionkey", deadLetter = "continue" } = ordering
  const fault = orderByFault(by)
  if (fault !== undefined) faults.add("ordering.by", fault)
  return { by, deadLetter: deadLetter === "hold" ? "hold" : "continue" }
}
