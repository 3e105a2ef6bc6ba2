import { crc32 } from "node:zlib"
import { type Table, tables } from "./store.ts"

/*
 * A row's value as it is stored: the value, and the CRC-32 of key and value, little-endian. Of each table the number of its
 * rows and the sum of those CRCs are kept, so that a row that is missing, or is one from before, is noticed as well.
 */
const crcBytes = 4

export function sumOf(key: string, value: Uint8Array): number {
  return crc32(value, crc32(key))
}

export function checkedValue(key: string, value: Uint8Array): Buffer {
  const stored = Buffer.allocUnsafe(value.length + crcBytes)
  stored.set(value)
  stored.writeUInt32LE(sumOf(key, value), value.length)
  return stored
}

/** The value of a stored one; undefined where it does not check. */
export function openValue(key: string, stored: Buffer): Uint8Array | undefined {
  if (stored.length < crcBytes) return undefined
  const value = stored.subarray(0, stored.length - crcBytes)
  return sumOf(key, value) === storedSum(stored) ? value : undefined
}

function storedSum(stored: Buffer): number {
  return stored.readUInt32LE(stored.length - crcBytes)
}

/** How many rows, and the sum of their CRCs modulo 2^32: the same in whatever order they are added. */
export class Sums {
  rows = 0
  sum = 0

  add(sum: number): void {
    this.rows++
    this.sum = (this.sum + sum) >>> 0
  }

  remove(sum: number): void {
    this.rows--
    this.sum = (this.sum - sum) >>> 0
  }
}

const tableBytes = 12

/** The sums of all tables, as of the last commit. */
export class Digests {
  readonly #sums: ReadonlyMap<Table, Sums>

  constructor(stored: Buffer | undefined) {
    this.#sums = new Map(tables.map((table, i) => [table, decode(stored, i * tableBytes)]))
  }

  agrees(table: Table, { rows, sum }: Sums): boolean {
    const known = this.#sums.get(table)!
    return known.rows === rows && known.sum === sum
  }

  /** What the next commit makes of them; nothing changes before it is committed. */
  begin(): NextDigests {
    return new NextDigests(this.#sums)
  }
}

class NextDigests {
  readonly #current: ReadonlyMap<Table, Sums>
  readonly #next: ReadonlyMap<Table, Sums>
  /** CRCs of the rows that this commit has touched; undefined where it has removed one. */
  readonly #touched = new Map<string, number | undefined>()

  constructor(current: ReadonlyMap<Table, Sums>) {
    this.#current = current
    this.#next = new Map([...current].map(([table, sums]) => [table, Object.assign(new Sums(), sums)]))
  }

  get isChanged(): boolean {
    return this.#touched.size > 0
  }

  /** `before` reads what the store holds from before this commit. */
  put(table: Table, key: string, stored: Buffer, before: () => Buffer | undefined): void {
    const sum = storedSum(stored)
    this.#takeAway(table, key, before, sum)
    this.#next.get(table)!.add(sum)
  }

  remove(table: Table, key: string, before: () => Buffer | undefined): void {
    this.#takeAway(table, key, before, undefined)
  }

  #takeAway(table: Table, key: string, before: () => Buffer | undefined, after: number | undefined): void {
    const name = `${table} ${key}`
    const old = this.#touched.has(name) ? this.#touched.get(name) : sumBefore(before())
    if (old !== undefined) this.#next.get(table)!.remove(old)
    this.#touched.set(name, after)
  }

  encode(): Buffer {
    const bytes = Buffer.alloc(tables.length * tableBytes)
    for (const [i, table] of tables.entries()) {
      const { rows, sum } = this.#next.get(table)!
      bytes.writeDoubleLE(rows, i * tableBytes)
      bytes.writeUInt32LE(sum, i * tableBytes + 8)
    }
    return bytes
  }

  commit(): void {
    for (const [table, sums] of this.#next) Object.assign(this.#current.get(table)!, sums)
  }
}

function sumBefore(stored: Buffer | undefined): number | undefined {
  return stored === undefined || stored.length < crcBytes ? undefined : storedSum(stored)
}

function decode(stored: Buffer | undefined, at: number): Sums {
  const sums = new Sums()
  if (stored === undefined || stored.length < at + tableBytes) return sums
  sums.rows = stored.readDoubleLE(at)
  sums.sum = stored.readUInt32LE(at + 8)
  return sums
}
