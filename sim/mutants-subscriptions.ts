import type { Mutant } from "./mutant-list.ts"

/** Mutants of subscriptions, and of the pages in which events are read. */
export const subscriptionMutants: readonly Mutant[] = [
  {
    name: "a commit moves back",
    file: "src/resources/subscription-positions.ts",
    before: "if (order < 0) {",
    after: "if (order < 0 && position.epoch === 0) {",
  },
  {
    name: "two commits at once are both heard",
    file: "src/resources/subscription-positions.ts",
    before: "value, expected: position.revision }], [unchanged])",
    after: "value }], [unchanged])",
  },
  {
    name: "a page ends before what it says to read on from",
    file: "src/api/events/page.ts",
    before: "next = stored.cursor",
    after: "next = batch.next",
  },
]
