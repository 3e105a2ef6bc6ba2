import type { Mutant } from "./mutant-list.ts"

/** Mutants of delayed events. */
export const delayedMutants: readonly Mutant[] = [
  {
    name: "a delayed event is published before it is due",
    file: "src/deliver/release.ts",
    before: "const waitMs = deliverAtOf(stored.event) - this.#options.clock.now()",
    after: "const waitMs = deliverAtOf(stored.event) - this.#options.clock.now() - 100",
  },
  {
    name: "what was cancelled is published when it is due",
    file: "src/deliver/release.ts",
    before: 'if (decision === "released" || decision === "cancelled") return this.#end(lease)',
    after: 'if (decision === "released") return this.#end(lease)',
  },
  {
    name: "a delayed event is given up when its hub dies",
    file: "src/deliver/release.ts",
    before: 'if (decision === "claimed") return { lease, stored, topic, last, isUnsure: true }',
    after: 'if (decision === "claimed") return this.#end(lease)',
  },
]
