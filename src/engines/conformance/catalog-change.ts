import { expect } from "vitest"
import type { Catalog } from "../../core/catalog.ts"
import { ConflictError } from "../../core/errors.ts"
import type { CatalogUnderTest } from "./catalog.ts"
import type { Declare } from "./harness.ts"

/** Several writes as one step. */
export function changing(it: Declare<CatalogUnderTest>): void {
  it("writes and deletes several as one, and answers their revisions", async ({ catalog }) => {
    const first = await catalog.put("a", "old")
    const revisions = await catalog.change([
      { key: "a", value: undefined, expected: first },
      { key: "b", value: { on: 1 }, expected: 0 },
      { key: "c", value: 2 },
      { key: "d", value: undefined },
    ])
    expect(revisions).toMatchObject({ 0: 0, 3: 0, length: 4 })
    expect(await catalog.list("", { limit: 1_000 })).toEqual([
      { key: "b", value: { on: 1 }, revision: revisions[1] },
      { key: "c", value: 2, revision: revisions[2] },
    ])
    expect(revisions[1]).toBeGreaterThan(first)
    expect(await catalog.put("e", 1)).toBeGreaterThan(Math.max(...revisions))
  })

  it("has nothing to do where it only deletes what is not there", async ({ catalog }) => {
    expect(await catalog.change([{ key: "a", value: undefined }])).toEqual([0])
    expect(await catalog.change([{ key: "a", value: undefined, expected: 0 }], [{ key: "b", expected: 0 }])).toEqual([
      0,
    ])
    expect(await catalog.list("", { limit: 1_000 })).toEqual([])
  })

  it("changes nothing where one write or one condition does not hold", async ({ catalog }) => {
    const a = await catalog.put("a", 1)
    const b = await catalog.put("b", 1)
    const both = (expected: number) => [
      { key: "c", value: 1 },
      { key: "a", value: 2, expected },
    ]
    await refused(catalog.change(both(b)), "a", b, a)
    await refused(catalog.change(both(0)), "a", 0, a)
    await refused(catalog.change(both(a), [{ key: "b", expected: 0 }]), "b", 0, b)
    await refused(catalog.change(both(a), [{ key: "b", expected: a }]), "b", a, b)
    await refused(catalog.change(both(a), [{ key: "x", expected: a }]), "x", a, 0)
    await refused(catalog.change([{ key: "x", value: undefined, expected: a }]), "x", a, 0)
    expect(
      (await catalog.list("", { limit: 1_000 })).map(({ key, value, revision }) => [key, value, revision]),
    ).toEqual([
      ["a", 1, a],
      ["b", 1, b],
    ])
    await catalog.change(both(a), [
      { key: "b", expected: b },
      { key: "x", expected: 0 },
    ])
    expect((await catalog.list("", { limit: 1_000 })).map(({ key, value }) => [key, value])).toEqual([
      ["a", 2],
      ["b", 1],
      ["c", 1],
    ])
    expect((await catalog.get("b"))?.revision).toBe(b)
  })

  it("knows what was deleted for what is not there", async ({ catalog }) => {
    await catalog.put("a", 1)
    await catalog.put("b", 1)
    await catalog.delete("a")
    await catalog.change([{ key: "b", value: undefined }])
    const conditions = [{ key: "b", expected: 0 }]
    expect(await catalog.change([{ key: "a", value: 2, expected: 0 }], conditions)).toHaveLength(1)
    expect(await catalog.change([{ key: "b", value: 2, expected: 0 }])).toHaveLength(1)
  })

  it("lets one of two win of which each needs that the other is not there", async ({ catalog }) => {
    for (let n = 0; n < 10; n++) {
      const results = await Promise.allSettled([
        catalog.change([{ key: `a${n}`, value: 1, expected: 0 }], [{ key: `b${n}`, expected: 0 }]),
        catalog.change([{ key: `b${n}`, value: 1, expected: 0 }], [{ key: `a${n}`, expected: 0 }]),
      ])
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1)
      expect(await catalog.list("", { limit: 1_000 })).toHaveLength(n + 1)
    }
  })

  it("loses nothing of what many move from one key to another at once", async ({ catalog }) => {
    await catalog.put("from", 12)
    await catalog.put("to", 0)
    const values = async () =>
      (await Promise.all([catalog.get<number>("from"), catalog.get<number>("to")])).map((item) => item!.value)
    await Promise.all(Array.from({ length: 12 }, () => moveOne(catalog)))
    expect(await values()).toEqual([0, 12])
  })

  it("tells watchers of each of its writes, and of nothing where it was refused", async ({ catalog }) => {
    const revision = await catalog.put("a", 1)
    const stop = new AbortController()
    const changes = catalog.watch("", stop.signal)[Symbol.asyncIterator]()
    expect((await changes.next()).value).toMatchObject({ kind: "put" })
    expect((await changes.next()).value).toEqual({ kind: "current" })
    await expect(catalog.change([{ key: "x", value: 1 }], [{ key: "a", expected: 0 }])).rejects.toThrow(ConflictError)
    const [b, , c] = await catalog.change([
      { key: "b", value: 1 },
      { key: "a", value: undefined, expected: revision },
      { key: "c", value: 2 },
    ])
    expect((await changes.next()).value).toEqual({ kind: "put", item: { key: "b", value: 1, revision: b } })
    expect((await changes.next()).value).toEqual({ kind: "delete", key: "a" })
    expect((await changes.next()).value).toEqual({ kind: "put", item: { key: "c", value: 2, revision: c } })
    stop.abort()
  })

  it("is kept whole through a crash", async (tested, harness) => {
    await tested.catalog.put("a", 1)
    await tested.catalog.change(
      [
        { key: "b", value: 1 },
        { key: "a", value: undefined },
      ],
      [{ key: "c", expected: 0 }],
    )
    const { catalog } = await harness.crash(tested)
    expect(await catalog.list("", { limit: 1_000 })).toMatchObject([{ key: "b", value: 1 }])
  })
}

/** Tries again while another one came first. */
async function moveOne(catalog: Catalog): Promise<void> {
  for (;;) {
    const [from, to] = await Promise.all([catalog.get<number>("from"), catalog.get<number>("to")])
    try {
      await catalog.change([
        { key: "from", value: from!.value - 1, expected: from!.revision },
        { key: "to", value: to!.value + 1, expected: to!.revision },
      ])
      return
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
    }
  }
}

async function refused(change: Promise<unknown>, key: string, expected: number, actual: number): Promise<void> {
  const error = await change.catch((error: unknown) => error)
  expect(error).toBeInstanceOf(ConflictError)
  expect(error).toMatchObject({ key, expected, actual })
}
