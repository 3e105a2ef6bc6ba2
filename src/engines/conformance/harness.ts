import { describe, test } from "vitest"

/** How a suite opens what it tests, lets time pass and takes the power away. One harness serves one test. */
export interface Harness<T> {
  open(): Promise<T>
  /** Lets `ms` pass: a simulated clock moves, a real server is waited for. */
  elapse(ms: number): Promise<void>
  /** Drops what is open without closing it, as a crash would, and opens the same data again. */
  crash(opened: T): Promise<T>
  /** Closes what is open, and removes its data. */
  dispose(): Promise<void>
}

/** Titles of tests that an engine need not pass, each with the reason. */
export type Exemptions = Readonly<Record<string, string>>

/** Declares one test of a suite; `body` gets what was opened. */
export type Declare<T> = (title: string, body: (opened: T, harness: Harness<T>) => Promise<void>) => void

/** One part of a suite, with its harness for each test. */
export function suite<T>(
  name: string,
  make: () => Promise<Harness<T>>,
  exempt: Exemptions,
  declare: (it: Declare<T>) => void,
): void {
  describe(name, () => {
    declare((title, body) => {
      const reason = exempt[title]
      test.skipIf(reason !== undefined)(reason === undefined ? title : `${title} (${reason})`, async () => {
        const harness = await make()
        try {
          await body(await harness.open(), harness)
        } finally {
          await harness.dispose()
        }
      })
    })
  })
}
