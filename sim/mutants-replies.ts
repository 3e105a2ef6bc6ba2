import type { Mutant } from "./mutant-list.ts"

/** Mutants of what destinations answer with. */
export const replyMutants: readonly Mutant[] = [
  {
    name: "a reply is published after its delivery's end",
    file: "src/deliver/replies.ts",
    before: "return await this.#publish(address, replies)",
    after:
      'void this.#publish(address, replies).catch(() => {})\n      return { kind: "published", topic: address.topic, cursors: [] }',
  },
  {
    name: "a reply is published on no condition",
    file: "src/deliver/replies.ts",
    before: "const stored = await this.#options.publish(address, missing, expected)",
    after:
      'const stored = await this.#options.publish(address, missing, (await this.#options.log.last(address)) ?? "none")',
  },
  {
    name: "a reply that cannot be published now is given up",
    file: "src/deliver/replies.ts",
    before: "error instanceof PublishRefusedError ? error.isPassing : isPassing(error)",
    after: "error instanceof PublishRefusedError ? false : isPassing(error)",
  },
]
