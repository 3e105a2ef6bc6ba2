import { parseVoids } from "./voids.ts"

/** Numbers of a writer's that are nowhere in the stream. */
export interface MissingNumbers {
  readonly writer: string
  readonly from: number
  readonly to: number
  /** Of them, so many are not accounted for. */
  readonly count: number
  /** They were given between the messages at these sequences. */
  readonly after: number
  readonly before: number
}

interface Missing {
  from: number
  to: number
  readonly after: number
  readonly before: number
  /** Messages that are absent from the stream in between: dropped, or reported as a gap. */
  readonly absent: number
}

interface Writer {
  last: number
  sequence: number
  absent: number
  missing: Missing[]
}

const writersMax = 10_000
const missingMax = 10_000

/** One message, as far as its numbering goes. */
export interface Numbered {
  readonly sequence: number
  readonly writer: string
  readonly number: number
  readonly voids: string | undefined
  /** Sequences before it that hold nothing, of the whole stream. */
  readonly absent: number
}

/** Follows each writer's numbers along a stream. Writers that have not been seen for long are concluded, so that memory is bounded. */
export class WriterNumbers {
  readonly #writers = new Map<string, Writer>()
  readonly #found: (missing: MissingNumbers) => void

  constructor(found: (missing: MissingNumbers) => void) {
    this.#found = found
  }

  /** False where the number was there before. */
  add({ sequence, writer: name, number, voids, absent }: Numbered): boolean {
    let writer = this.#writers.get(name)
    if (writer === undefined) {
      this.#makeRoom()
      writer = { last: 0, sequence: 0, absent: 0, missing: [] }
    } else this.#writers.delete(name)
    this.#writers.set(name, writer)
    const isNew =
      number > writer.last ? this.#advance(name, writer, number, sequence, absent) : take(writer, number, number)
    if (voids !== undefined) for (const [from, to] of parseVoids(voids)) take(writer, from, to)
    return isNew
  }

  conclude(): void {
    for (const [name, writer] of this.#writers) this.#tell(name, writer)
    this.#writers.clear()
  }

  #advance(name: string, writer: Writer, number: number, sequence: number, absent: number): true {
    if (number > writer.last + 1) {
      writer.missing.push({
        from: writer.last + 1,
        to: number - 1,
        after: writer.sequence,
        before: sequence,
        absent: absent - writer.absent,
      })
      if (writer.missing.length > missingMax) this.#tellOne(name, writer.missing.shift()!)
    }
    writer.last = number
    writer.sequence = sequence
    writer.absent = absent
    return true
  }

  #makeRoom(): void {
    if (this.#writers.size < writersMax) return
    const [name, writer] = this.#writers.entries().next().value!
    this.#writers.delete(name)
    this.#tell(name, writer)
  }

  #tell(name: string, writer: Writer): void {
    for (const missing of writer.missing) this.#tellOne(name, missing)
  }

  #tellOne(writer: string, { from, to, after, before, absent }: Missing): void {
    const count = to - from + 1 - absent
    if (count > 0) this.#found({ writer, from, to, count, after, before })
  }
}

/** Takes numbers out of those that are missing; false where one of them was not missing. */
function take(writer: Writer, from: number, to: number): boolean {
  let taken = 0
  writer.missing = writer.missing.flatMap((missing) => {
    if (missing.to < from || missing.from > to) return [missing]
    taken += Math.min(missing.to, to) - Math.max(missing.from, from) + 1
    return [
      ...(missing.from < from ? [{ ...missing, to: from - 1 }] : []),
      ...(missing.to > to ? [{ ...missing, from: to + 1 }] : []),
    ]
  })
  return taken === to - from + 1
}
