import type { Assignment, Assignments } from "../../../core/assignments.ts"

interface Holding {
  readonly assignment: Assignment
  readonly lost: AbortController
  readonly released: Promise<void>
}

/** One of the processes among which assignments are divided, as a test wants it. */
export class Member implements Assignments {
  readonly #waiting: Assignment[] = []
  #wake = () => {}

  async *take(_kind: string, _count: number, stop: AbortSignal): AsyncIterable<Assignment> {
    stop.addEventListener("abort", () => this.#wake())
    while (!stop.aborted) {
      const assignment = this.#waiting.shift()
      if (assignment) yield assignment
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }

  give(assignment: Assignment): void {
    this.#waiting.push(assignment)
    this.#wake()
  }
}

/** The assignments of one kind: nobody has one until a test says so. */
export class TestAssignments {
  readonly #holdings = new Map<number, Holding>()
  #epoch = 0

  /** Takes an assignment away from whoever has it, waits until it is released, and gives it to `member`. */
  async move(number: number, member: Member): Promise<void> {
    const before = this.#holdings.get(number)
    before?.lost.abort()
    await before?.released
    this.seize(number, member)
  }

  /** Gives an assignment to `member`, and does not tell whoever has it. */
  seize(number: number, member: Member, epoch = ++this.#epoch): void {
    const lost = new AbortController()
    const released = Promise.withResolvers<void>()
    const release = async () => released.resolve()
    const assignment: Assignment = { kind: "queue", number, epoch, lost: lost.signal, release }
    this.#holdings.set(number, { assignment, lost, released: released.promise })
    member.give(assignment)
  }
}
