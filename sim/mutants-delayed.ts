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
    before: 'if (decision === "cancelled" || topic === undefined) return',
    after: "if (topic === undefined) return",
  },
  {
    name: "a delayed event is given up when its hub dies",
    file: "src/deliver/release.ts",
    before: 'if (noted !== undefined) return { kind: "claimed", lease, stored, topic, noted, isUnsure: true }',
    after: "if (noted !== undefined) return this.#done(lease)",
  },
  {
    name: "a delayed event is kept back for nobody",
    file: "src/deliver/release.ts",
    before: "await this.#options.engine.log.drop(address, cursors)",
    after: "",
  },
]
