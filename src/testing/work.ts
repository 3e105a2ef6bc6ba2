/** Something asks and asks while no time passes: it never ends. */
export class EndlessWorkError extends Error {
  override readonly name = "EndlessWorkError"
}

/** Counts what is asked of a simulated machine between two of its steps, where nothing but a loop without end asks so much. */
export interface WorkMeter {
  /** Throws EndlessWorkError where it is too much, so that even a loop that never lets others have their turn is broken. */
  ask(): void
  /** Time goes on. */
  step(): void
}

/** `onEndless` is told first, with the stack of whoever asked. */
export function createWorkMeter(asksMax: number, onEndless: (error: EndlessWorkError) => void): WorkMeter {
  let asks = 0
  // Whoever is told may ask too.
  let telling = false
  return {
    ask() {
      asks++
      if (asks <= asksMax || telling) return
      const error = new EndlessWorkError(`${asksMax} questions, and no time passes`)
      telling = true
      onEndless(error)
      telling = false
      throw error
    },
    step() {
      asks = 0
    },
  }
}
