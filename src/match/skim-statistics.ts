import type { EventView } from "../filters/view.ts"

/** Events before what they taught is forgotten. */
const period = 1024

/** Events that are skimmed to learn from. */
const trials = 16

/** Learns whether skimming data pays: it does not where most events have a candidate that needs all of it. */
export class SkimStatistics {
  #events = 0
  #skimmed = 0
  #inVain = 0

  get pays(): boolean {
    return this.#skimmed < trials || this.#inVain * 2 < this.#skimmed
  }

  /** To be told of each event when it is decided. */
  learn({ read }: EventView): void {
    if (++this.#events === period) {
      this.#events = 0
      this.#skimmed = 0
      this.#inVain = 0
    }
    if (read !== "skimmed" && read !== "twice") return
    this.#skimmed++
    if (read === "twice") this.#inVain++
  }
}
