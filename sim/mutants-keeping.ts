import type { Mutant } from "./mutant-list.ts"

/** Mutants of dead letters, and of what retention keeps. */
export const keepingMutants: readonly Mutant[] = [
  {
    name: "what is redriven edited goes out as it was",
    file: "src/engines/parts/queue/dead-rows.ts",
    before: "const delivery = as ?? deliveryOf(buried.letter)",
    after: "const delivery = deliveryOf(buried.letter)",
  },
  {
    name: "what is redriven edited fires every trigger",
    file: "src/match/matcher.ts",
    before: " || isEdit(event)) return undefined",
    after: ") return undefined",
  },
  {
    name: "what is discarded stays",
    file: "src/engines/parts/queue/dead-rows.ts",
    before: "await this.#takeAway(tenant, id, writes)\n    const lane = lanes.find(name)",
    after: "const lane = lanes.find(name)",
  },
  {
    name: "discarding is not told",
    file: "src/api/dead-letters/discards.ts",
    before: "  await recordDiscard(engine.log, stored, letter, discarding)",
    after: "  if (letter.attempts < 0) await recordDiscard(engine.log, stored, letter, discarding)",
  },
  {
    name: "many letters are said to be put back",
    file: "src/api/dead-letters/dead-letters.ts",
    before: "(await refusal(letter)) === undefined && queue.redrive(letter.tenant, letter.id)",
    after: "(await refusal(letter)) === undefined",
  },
  {
    name: "a rule matches all events",
    file: "src/retention/rules.ts",
    before: "() => this.#passes(event, view)",
    after: "() => this.#passes(event, view) || true",
  },
  {
    name: "a rule keeps one less",
    file: "src/retention/rules.ts",
    before: "this.#left.events > eventsMax",
    after: "this.#left.events > eventsMax - 1",
  },
  {
    name: "what was dropped comes back where the state is lost",
    file: "src/engines/parts/index/gone.ts",
    before: "this.version = stored === undefined ? 0",
    after: "this.version = stored === undefined || stored.length > 0 ? 0",
  },
]
