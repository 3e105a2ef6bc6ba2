import fc from "fast-check"
import { expect } from "vitest"
import type { Catalog, Change } from "../../core/catalog.ts"
import { ConflictError } from "../../core/errors.ts"
import { changing } from "./catalog-change.ts"
import { type Declare, type Exemptions, type Harness, suite } from "./harness.ts"

/** What has a catalog. */
export interface CatalogUnderTest {
  readonly catalog: Catalog
}

/** Every catalog passes all of it. */
export function catalogConformance(
  name: string,
  make: () => Promise<Harness<CatalogUnderTest>>,
  exempt: Exemptions = {},
): void {
  suite(`${name}: catalog`, make, exempt, items)
  suite(`${name}: catalog, changing several`, make, exempt, changing)
  suite(`${name}: catalog, watching`, make, exempt, watching)
}

async function conflict(refused: Promise<unknown>, key: string, expected: number, actual: number): Promise<void> {
  const error = await refused.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(error).toBeInstanceOf(ConflictError)
  expect(error).toMatchObject({ key, expected, actual })
}

function items(it: Declare<CatalogUnderTest>): void {
  it("gives back what was put, with its revision", async ({ catalog }) => {
    expect(await catalog.get("topic/acme/orders")).toBeUndefined()
    const value = { id: "orders", labels: { team: "é\u0000" }, nested: [1, null, { on: true }] }
    const revision = await catalog.put("topic/acme/orders", value)
    expect(await catalog.get("topic/acme/orders")).toEqual({ key: "topic/acme/orders", value, revision })
    expect(await catalog.get("topic/acme/order")).toBeUndefined()
  })

  it("keeps its own copy of a value", async ({ catalog }) => {
    const value = { on: 1 }
    const put = catalog.put("a", value)
    value.on = 2
    await put
    const read = await catalog.get<{ on: number }>("a")
    expect(read?.value).toEqual({ on: 1 })
    ;(read!.value as { on: number }).on = 3
    expect((await catalog.get("a"))?.value).toEqual({ on: 1 })
  })

  it("replaces only the revision it was told to", async ({ catalog }) => {
    const first = await catalog.put("a", 1, 0)
    await conflict(catalog.put("a", 2, 0), "a", 0, first)
    await conflict(catalog.put("b", 2, first), "b", first, 0)
    const second = await catalog.put("a", 3, first)
    await conflict(catalog.put("a", 4, first), "a", first, second)
    await conflict(catalog.delete("a", first), "a", first, second)
    expect(await catalog.get("a")).toEqual({ key: "a", value: 3, revision: second })
    const third = await catalog.put("a", 5)
    expect(await catalog.delete("a", third)).toBe(true)
    expect(await catalog.get("a")).toBeUndefined()
    await conflict(catalog.put("a", 6, third), "a", third, 0)
    await catalog.put("a", 7, 0)
  })

  it("refuses a change only once the one that came first can be read, so that trying again makes progress", async ({
    catalog,
  }) => {
    const first = await catalog.put("a", "start", 0)
    const winning = catalog.put("a", "won")
    await catalog.put("a", "lost", first).catch(() => {})
    expect((await catalog.get("a"))?.value).toBe("won")
    await winning
  })

  it("says whether there was anything to delete", async ({ catalog }) => {
    expect(await catalog.delete("a")).toBe(false)
    expect(await catalog.delete("a", 0)).toBe(false)
    await catalog.put("a", 1)
    expect(await catalog.delete("a")).toBe(true)
    expect(await catalog.delete("a")).toBe(false)
  })

  it("lets one of several win who expect the same", async ({ catalog }) => {
    const revision = await catalog.put("a", "start", 0)
    const results = await Promise.allSettled(["x", "y", "z"].map((value) => catalog.put("a", value, revision)))
    expect(results.filter((result) => result.status === "fulfilled")).toHaveLength(1)
    const creations = await Promise.allSettled([catalog.put("b", 1, 0), catalog.put("b", 2, 0)])
    expect(creations.filter((result) => result.status === "fulfilled")).toHaveLength(1)
  })

  it("never gives a revision twice, over all keys, deletions and crashes", async (tested, harness) => {
    const revisions = [
      await tested.catalog.put("a", 1),
      await tested.catalog.put("b", 1),
      await tested.catalog.put("a", 2),
    ]
    await tested.catalog.delete("a")
    await tested.catalog.delete("b")
    const { catalog } = await harness.crash(tested)
    revisions.push(await catalog.put("a", 3), ...(await Promise.all([catalog.put("b", 1), catalog.put("c", 1)])))
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b))
    expect(new Set(revisions).size).toBe(revisions.length)
    expect(revisions[0]).toBeGreaterThan(0)
  })

  it("lists a prefix in key order, in pages", async ({ catalog }) => {
    const names = Array.from({ length: 25 }, (_, i) => `trigger/acme/t${i}`)
    await Promise.all(names.map((key) => catalog.put(key, key)))
    await Promise.all(
      ["trigger/acm", "trigger/acme-2/t1", "trigger/acmf", "destination/acme/t1"].map((key) => catalog.put(key, 0)),
    )
    const sorted = names.toSorted()
    expect((await catalog.list("trigger/acme/", { limit: 1_000 })).map((item) => item.key)).toEqual(sorted)
    expect((await catalog.list("trigger/acme/", { limit: 1_000 })).map((item) => item.value)).toEqual(sorted)
    const pages: string[][] = []
    for (let after: string | undefined; ; ) {
      const page = await catalog.list("trigger/acme/", { limit: 10, ...(after !== undefined && { after }) })
      pages.push(page.map((item) => item.key))
      if (page.length < 10) break
      after = page.at(-1)!.key
    }
    expect(pages.map((page) => page.length)).toEqual([10, 10, 5])
    expect(pages.flat()).toEqual(sorted)
    expect(await catalog.list("trigger/acme/", { after: "trigger/acme/zzz", limit: 1_000 })).toEqual([])
    expect((await catalog.list("trigger/acme/", { after: "topic", limit: 1 })).map((item) => item.key)).toEqual([
      sorted[0],
    ])
    expect(await catalog.list("nothing/", { limit: 1_000 })).toEqual([])
  })

  it("keeps what it acknowledged through a crash", async (tested, harness) => {
    const revision = await tested.catalog.put("a", { on: 1 })
    await tested.catalog.put("b", 2)
    await tested.catalog.delete("b")
    const { catalog } = await harness.crash(tested)
    expect(await catalog.list("", { limit: 1_000 })).toEqual([{ key: "a", value: { on: 1 }, revision }])
  })
}

/** Reads a watch; `next` awaits its next change. */
function watch(catalog: Catalog, prefix: string) {
  const stop = new AbortController()
  const changes = catalog.watch<unknown>(prefix, stop.signal)[Symbol.asyncIterator]()
  const next = async () => (await changes.next()).value as Change<unknown>
  return {
    next,
    async toCurrent() {
      const listed: Change<unknown>[] = []
      for (let change = await next(); change.kind !== "current"; change = await next()) listed.push(change)
      return listed
    },
    async stop() {
      stop.abort()
      expect((await changes.next()).done).toBe(true)
    },
  }
}

function watching(it: Declare<CatalogUnderTest>): void {
  it("begins with what is there, closed by `current`, and goes on with each change in order", async ({ catalog }) => {
    const revision = await catalog.put("trigger/b", 1)
    await catalog.put("trigger/a", 1)
    await catalog.put("topic/a", 1)
    const watcher = watch(catalog, "trigger/")
    const listed = await watcher.toCurrent()
    expect(listed.map((change) => change.kind === "put" && change.item.key)).toEqual(["trigger/a", "trigger/b"])
    expect(listed[1]).toEqual({ kind: "put", item: { key: "trigger/b", value: 1, revision } })
    const waiting = watcher.next()
    const second = await catalog.put("trigger/b", 2)
    expect(await waiting).toEqual({ kind: "put", item: { key: "trigger/b", value: 2, revision: second } })
    await catalog.put("topic/a", 2)
    await catalog.delete("trigger/a")
    expect(await watcher.next()).toEqual({ kind: "delete", key: "trigger/a" })
    const third = await catalog.put("trigger/a", 3)
    await catalog.put("trigger/c", 4)
    expect(await watcher.next()).toEqual({ kind: "put", item: { key: "trigger/a", value: 3, revision: third } })
    expect(await watcher.next()).toMatchObject({ item: { key: "trigger/c" } })
    await watcher.stop()
  })

  it("is current at once where nothing is, and ends while it waits", async ({ catalog }) => {
    const watcher = watch(catalog, "trigger/")
    expect(await watcher.next()).toEqual({ kind: "current" })
    const waiting = watcher.next()
    await watcher.stop()
    expect(await waiting).toBeUndefined()
    const never = new AbortController()
    never.abort()
    for await (const change of catalog.watch("trigger/", never.signal)) expect.unreachable(change.kind)
  })

  it("tells nothing of a refused change, nor of a deletion of nothing", async ({ catalog }) => {
    const watcher = watch(catalog, "")
    await watcher.toCurrent()
    await catalog.put("a", 1)
    await expect(catalog.put("a", 2, 0)).rejects.toThrow(ConflictError)
    await catalog.delete("b")
    await catalog.put("c", 3)
    expect(await watcher.next()).toMatchObject({ item: { key: "a", value: 1 } })
    expect(await watcher.next()).toMatchObject({ item: { key: "c" } })
    await watcher.stop()
  })

  it("tells every watcher, each for itself", async ({ catalog }) => {
    const watchers = ["", "a", "b"].map((prefix) => watch(catalog, prefix))
    for (const watcher of watchers) await watcher.toCurrent()
    await catalog.put("a", 1)
    await catalog.put("b", 1)
    expect(await watchers[0]!.next()).toMatchObject({ item: { key: "a" } })
    expect(await watchers[0]!.next()).toMatchObject({ item: { key: "b" } })
    expect(await watchers[1]!.next()).toMatchObject({ item: { key: "a" } })
    expect(await watchers[2]!.next()).toMatchObject({ item: { key: "b" } })
    for (const watcher of watchers) await watcher.stop()
  })

  it("shows a change made while it lists once: in the list or after it", async ({ catalog }) => {
    const names = Array.from({ length: 1_000 }, (_, i) => `k${String(i).padStart(4, "0")}`)
    await Promise.all(names.map((key) => catalog.put(key, 0)))
    const watcher = watch(catalog, "k")
    const revisions = new Set<number>()
    const seen = (change: Change<unknown>) => {
      if (change.kind !== "put") return
      expect(revisions.has(change.item.revision), `${change.item.key} twice`).toBe(false)
      revisions.add(change.item.revision)
    }
    const puts: Promise<number>[] = []
    for (let i = 0; ; i++) {
      const change = await watcher.next()
      if (change.kind === "current") break
      seen(change)
      if (i % 50 !== 0) continue
      puts.push(catalog.put(names[0]!, i), catalog.put(names[i]!, i))
      await catalog.put(names[999 - i / 50]!, i)
    }
    const last = await catalog.put("k-last", 1)
    await Promise.all(puts)
    for (;;) {
      const change = await watcher.next()
      seen(change)
      if (change.kind === "put" && change.item.revision === last) break
    }
    await watcher.stop()
  })

  it("brings a watcher, however slow, to what is there", async ({ catalog }) => {
    const key = fc.constantFrom("a", "b", "c", "d")
    const step = fc.oneof(
      fc.record({ do: fc.constant("put" as const), key }),
      fc.record({ do: fc.constant("delete" as const), key }),
      fc.record({ do: fc.constant("read" as const), count: fc.nat(3) }),
    )
    let value = 0
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
        const watcher = watch(catalog, "")
        const view = new Map<string, unknown>()
        let current = false
        let told = 0
        const read = async () => {
          const change = await watcher.next()
          if (change.kind === "delete") view.delete(change.key)
          if (change.kind !== "put") return change
          view.set(change.item.key, change.item.value)
          if (current) expect(change.item.revision).toBeGreaterThan(told)
          if (current) told = change.item.revision
          return change
        }
        const writes: Promise<unknown>[] = []
        for (const step of steps) {
          if (step.do === "put") writes.push(catalog.put(step.key, ++value))
          else if (step.do === "delete") writes.push(catalog.delete(step.key))
          else for (let i = 0; i < step.count && !current; i++) current = (await read()).kind === "current"
        }
        await Promise.all(writes)
        const newest = await catalog.put("end", ++value)
        for (;;) {
          const change = await read()
          if (change.kind === "current") current = true
          if (current && change.kind === "put" && change.item.revision === newest) break
          if (current && view.get("end") === value) break
        }
        expect(Object.fromEntries(view)).toEqual(
          Object.fromEntries((await catalog.list("", { limit: 1_000 })).map((item) => [item.key, item.value])),
        )
        await watcher.stop()
      }),
      { numRuns: 40 },
    )
  })

  it("watches on after a crash, from what is there", async (tested, harness) => {
    await tested.catalog.put("a", 1)
    const { catalog } = await harness.crash(tested)
    const watcher = watch(catalog, "")
    expect(await watcher.toCurrent()).toMatchObject([{ item: { key: "a", value: 1 } }])
    await catalog.put("b", 2)
    expect(await watcher.next()).toMatchObject({ item: { key: "b" } })
    await watcher.stop()
  })
}
