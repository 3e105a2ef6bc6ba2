import { expect, test } from "vitest"
import { DamagedError, StorageFullError } from "../../../core/errors.ts"
import type { Store, Write } from "../store.ts"
import { JournalStore } from "./journal-store.ts"

const put = (key: string): Write => ({ table: "deliveries", key, value: Buffer.from(key) })

/** A store whose rows go where writes fail with these errors, one after the other, and then succeed. */
function storeFailing(...errors: Error[]) {
  const lost: Error[] = []
  const tries: number[] = []
  const local: Store = {
    get: () => undefined,
    range: () => [],
    async write(writes) {
      tries.push(writes.length)
      const error = errors.shift()
      if (error) throw error
    },
    flushed: async () => {},
    close: async () => {},
  }
  let last = 0
  const journal = { last, append: async () => ++last, purge: async () => undefined, leave: () => {} }
  const limits = {
    liveBytes: 0,
    grownBytes: 0,
    pendingBytesMax: 1 << 20,
    recordBytesMax: 1 << 16,
    compactBytesMin: 1 << 20,
  }
  const store = new JournalStore({
    ...limits,
    journal,
    local,
    localAgain: async () => {},
    lost: (error) => lost.push(error),
  })
  return { store, lost, tries }
}

test("rows for which there is no room are written once there is some", async () => {
  const { store, lost, tries } = storeFailing(new StorageFullError("full"), new StorageFullError("full"))
  await store.write([put("a")])
  expect(tries).toHaveLength(3)
  expect(lost).toEqual([])
})

test("damaged rows are not written again and again: what was asked for is answered, and nothing more is taken", async () => {
  const damage = new DamagedError("the state: a commit")
  const { store, lost, tries } = storeFailing(damage)
  await expect(store.write([put("a")])).rejects.toBe(damage)
  expect(lost).toEqual([damage])
  await expect(store.write([put("b")])).rejects.toBe(damage)
  expect(tries).toHaveLength(1)
  await store.close()
})

test("a row that was journaled after one that could not be written is not written either", async () => {
  const damage = new DamagedError("the state: a commit")
  const keys: string[] = []
  const failed = Promise.withResolvers<void>()
  let second: Promise<unknown> | undefined
  const local: Store = {
    get: () => undefined,
    range: () => [],
    async write(writes) {
      keys.push(...writes.map(({ key }) => key))
      second = Promise.allSettled([store.write([put("b")])])
      await appending.promise
      throw damage
    },
    flushed: async () => {},
    close: async () => {},
  }
  const appending = Promise.withResolvers<void>()
  let last = 0
  const journal = {
    last,
    async append() {
      last++
      if (last === 2) {
        appending.resolve()
        await failed.promise
      }
      return last
    },
    purge: async () => undefined,
    leave: () => {},
  }
  const limits = { liveBytes: 0, grownBytes: 0, pendingBytesMax: 1 << 20, recordBytesMax: 1 << 16 }
  const store = new JournalStore({
    ...limits,
    compactBytesMin: 1 << 20,
    journal,
    local,
    localAgain: async () => {},
    lost: () => failed.resolve(),
  })
  await expect(store.write([put("a")])).rejects.toBe(damage)
  expect(await second).toMatchObject([{ status: "rejected", reason: damage }])
  expect(keys).toEqual(["a"])
})
