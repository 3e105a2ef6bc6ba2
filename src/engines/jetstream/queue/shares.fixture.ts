import type { Share, Shares } from "../../../core/shares.ts"

interface Holding {
  readonly share: Share
  readonly lost: AbortController
  readonly released: Promise<void>
}

/** One of the processes among which shares are divided, as a test wants it. */
export class Member implements Shares {
  readonly #waiting: Share[] = []
  #wake = () => {}

  async *take(_kind: string, _count: number, stop: AbortSignal): AsyncIterable<Share> {
    stop.addEventListener("abort", () => this.#wake())
    while (!stop.aborted) {
      const share = this.#waiting.shift()
      if (share) yield share
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve
        })
    }
  }

  give(share: Share): void {
    this.#waiting.push(share)
    this.#wake()
  }
}

/** The shares of one kind: nobody has one until a test says so. */
export class TestShares {
  readonly #holdings = new Map<number, Holding>()
  #epoch = 0

  /** Takes a share away from whoever has it, waits until it is released, and gives it to `member`. */
  async move(number: number, member: Member): Promise<void> {
    const before = this.#holdings.get(number)
    before?.lost.abort()
    await before?.released
    this.seize(number, member)
  }

  /** Gives a share to `member`, and does not tell whoever has it. */
  seize(number: number, member: Member, epoch = ++this.#epoch): void {
    const lost = new AbortController()
    const released = Promise.withResolvers<void>()
    const release = async () => released.resolve()
    const share: Share = { kind: "queue", number, epoch, lost: lost.signal, release }
    this.#holdings.set(number, { share, lost, released: released.promise })
    member.give(share)
  }
}
