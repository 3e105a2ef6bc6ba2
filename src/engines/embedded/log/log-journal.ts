import type { Journal } from "../../parts/journal/journal-store.ts"
import { encodeCheckpoint } from "../../parts/journal/record.ts"
import type { Writer } from "./writer.ts"

/** How far a journal has come. */
export interface JournalPlace {
  /** From this place on it tells everything. */
  readonly start: number
  /** The place of the newest record that is in the tables. */
  readonly applied: number
  /** The number of that record. */
  readonly number: number
}

/** The journal of the hub's tables: records of the log between its events, excluded from reading and retention. */
export class LogJournal implements Journal {
  #writer: Writer | undefined
  #number = 0
  #start = 0
  #last = 0
  /** Told when what lies between two places is of no use any more. */
  onPurged: (from: number, to: number) => void = () => {}
  /** Told when it tells everything again. */
  onWhole: () => void = () => {}

  get last(): number {
    return this.#last
  }

  /** From this place on it tells everything. */
  get start(): number {
    return this.#start
  }

  /** The number of the last record. */
  get number(): number {
    return this.#number
  }

  /** What was found in the log. */
  resume({ start, applied, number }: JournalPlace): void {
    this.#start = start
    this.#last = applied
    this.#number = number
  }

  attach(writer: Writer): void {
    this.#writer = writer
  }

  async append(record: Buffer): Promise<number> {
    const writer = this.#writer!
    const number = (this.#number + 1) >>> 0
    const position = writer.putJournal(record, number)
    await writer.commit()
    this.#last = position
    this.#number = number
    return position
  }

  async purge(place: number, number: number): Promise<void> {
    await this.append(encodeCheckpoint({ place, number }))
    const from = this.#start
    this.#start = place
    this.onWhole()
    this.onPurged(from, place)
  }

  leave(): void {}
}
