import type { Mutant } from "./mutant-list.ts"

const file = "src/route/asides.ts"

/** Of tenants that are routed aside. */
export const asideMutants: readonly Mutant[] = [
  {
    name: "tenant brought back to a main reader that is behind",
    file,
    before: "if (this.#isBeyond(aside, until)) {",
    after: "if (false) {",
  },
  {
    name: "tenant brought back before the main reader's place is saved",
    file,
    before: "    await main().save()\n",
    after: "",
  },
]
