import type { Mutant } from "./mutant-list.ts"

/** Mutants of what is sent several at once. */
export const batchMutants: readonly Mutant[] = [
  {
    name: "what the answer to a batch does not name is done",
    file: "src/destinations/webhook/batch.ts",
    before: "return each === undefined ? unnamed : toldOutcome(each)",
    after: 'return each === undefined ? { kind: "delivered", detail: "" } : toldOutcome(each)',
  },
  {
    name: "what is said of the first of a batch is said of all",
    file: "src/deliver/batch.ts",
    before: "sent.each?.[index]",
    after: "sent.each?.[0]",
  },
  {
    name: "what waits for a batch is lost where its destination changes",
    file: "src/deliver/ready.ts",
    before: "for (const ready of all) this.push(ready)",
    after: "for (const ready of all.slice(1)) this.push(ready)",
  },
]
