import fc from "fast-check"
import { expect, test } from "vitest"
import { Serial, SerialByKey } from "./serial.ts"

/** Pieces of work that end when the test says so; which are under way is told. */
class Pieces {
  readonly begun: number[] = []
  readonly #ends = new Map<number, (fails: boolean) => void>()

  start(number: number): () => Promise<number> {
    return () => {
      this.begun.push(number)
      return new Promise((resolve, reject) => {
        this.#ends.set(number, (fails) => (fails ? reject(new Error(`${number}`)) : resolve(number)))
      })
    }
  }

  get underWay(): readonly number[] {
    return [...this.#ends.keys()]
  }

  async end(number: number, fails: boolean): Promise<void> {
    this.#ends.get(number)!(fails)
    this.#ends.delete(number)
    await new Promise(setImmediate)
  }
}

const outcomes = fc.array(fc.boolean(), { minLength: 1, maxLength: 8 })

test("one begins when the one before it is over, however it ended, and each is answered as it ended", () =>
  fc.assert(
    fc.asyncProperty(outcomes, async (fails) => {
      const [serial, pieces] = [new Serial(), new Pieces()]
      const ended = fails.map((_, number) => serial.run(pieces.start(number)).catch(({ message }: Error) => message))
      const idle = serial.idle().then(() => pieces.begun.length)
      await new Promise(setImmediate)
      for (const [number, each] of fails.entries()) {
        expect(pieces.underWay).toEqual([number])
        await pieces.end(number, each)
      }
      expect(await Promise.all(ended)).toEqual(fails.map((each, number) => (each ? String(number) : number)))
      expect(await idle).toBe(fails.length)
    }),
  ))

test("work of one key goes one after another, that of others beside it, and a key without work is not busy", () =>
  fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(fc.constantFrom("a", "b"), fc.boolean()), { maxLength: 8 }), async (works) => {
      const [serial, pieces] = [new SerialByKey(), new Pieces()]
      const ended = works.map(([key], number) => serial.run(key, pieces.start(number)).catch(() => {}))
      const open = new Set(works.keys())
      while (open.size > 0) {
        const firsts = ["a", "b"].map((key) => [...open].find((number) => works[number]![0] === key))
        expect([...pieces.underWay].sort()).toEqual(firsts.filter((number) => number !== undefined).sort())
        for (const key of ["a", "b"]) expect(serial.isBusy(key)).toBe([...open].some((n) => works[n]![0] === key))
        const next = pieces.underWay.at(-1)!
        await pieces.end(next, works[next]![1])
        open.delete(next)
      }
      await Promise.all(ended)
      expect(["a", "b"].some((key) => serial.isBusy(key))).toBe(false)
    }),
  ))

test("where nothing of its key is under way, work begins at once", () => {
  const pieces = new Pieces()
  void new SerialByKey().run("a", pieces.start(1))
  expect(pieces.begun).toEqual([1])
})
