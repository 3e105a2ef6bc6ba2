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
    name: "a batch that is refused kills its events",
    file: "src/deliver/lane.ts",
    before: "const isShared = jobs.length > 1 && sent.each === undefined",
    after: "const isShared = false",
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
