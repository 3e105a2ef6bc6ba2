import { chmodSync, closeSync, existsSync, openSync, readSync, statSync } from "node:fs"
import { mkdir, open, readdir, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { DamagedError, StorageError, StorageFullError } from "../../core/errors.ts"
import type { Store } from "./store.ts"
import { type CheckedStore, openLmdbStore } from "./store-lmdb.ts"

const dataFile = "data.mdb"
/** There while the tables are being opened and checked: found at a start, the last one died of them. */
const openingMark = "opening"
/** There once something in the tables was found not to be as it was written. */
const damagedMark = "damaged"
const asideSuffix = ".damaged"
/** The reason where it is made anew on purpose. */
export const wanted = "it was asked for"

export interface StateOptions {
  /** Throws away what is there first. */
  readonly rebuild?: boolean
  /** Told what an operator should know, one line each. */
  onNotice?(line: string): void
}

/** The tables of a directory, checked row by row; empty where they are not as they were written. */
export interface OpenedState {
  readonly store: Store
  /** Why what was there is not used; undefined where it is. */
  readonly discarded?: string
  /** What has come to light since. */
  health(): readonly string[]
}

/**
 * Opens the tables in `<directory>/state`. They follow from the log: where anything is wrong with them they are put aside, as
 * `state.damaged`, and begun anew. Throws StorageError, StorageFullError.
 */
export async function openState(directory: string, options: StateOptions = {}): Promise<OpenedState> {
  const path = join(directory, "state")
  await mkdir(path, { recursive: true, mode: 0o700 })
  const noted: string[] = []
  const onDamage = (what: string) => {
    if (noted.length > 0) return
    noted.push(`the state is damaged (${what}); start the hub again: it makes it anew from the log`)
    void mark(path, damagedMark).catch(() => {}) // The next start checks all rows anyway.
    options.onNotice?.(noted[0]!)
  }
  const wrong = options.rebuild ? wanted : await reasonAgainst(path)
  const opened = wrong === undefined ? await openChecked(path, onDamage) : { wrong }
  if ("store" in opened) return { store: opened.store, health: () => noted }
  await putAside(path, opened.wrong === wanted)
  await mkdir(path, { recursive: true, mode: 0o700 })
  return { store: openTables(path, onDamage), discarded: opened.wrong, health: () => noted }
}

/** What can be seen of the files without opening the tables. */
async function reasonAgainst(path: string): Promise<string | undefined> {
  const names = await readdir(path)
  if (names.includes(openingMark)) return "the last start ended while it opened it"
  if (names.includes(damagedMark)) return "it was found damaged while the hub ran"
  return names.includes(dataFile) ? lengthFault(join(path, dataFile)) : undefined
}

type Checked = { readonly store: CheckedStore } | { readonly wrong: string }

async function openChecked(path: string, onDamage: (what: string) => void): Promise<Checked> {
  const isNew = !existsSync(join(path, dataFile))
  if (!isNew) await mark(path, openingMark)
  let store: CheckedStore | undefined
  try {
    store = openTables(path, onDamage)
    if (!isNew) await store.verify()
    await rm(join(path, openingMark), { force: true })
    return { store }
  } catch (error) {
    await store?.close()
    if (error instanceof StorageFullError || isRefused(error)) throw error
    if (error instanceof DamagedError || error instanceof StorageError || error instanceof Error) {
      return { wrong: error.message }
    }
    throw error
  }
}

function openTables(path: string, onDamage: (what: string) => void): CheckedStore {
  const store = openLmdbStore(path, { onDamage })
  for (const name of [dataFile, "lock.mdb"]) chmodSync(join(path, name), 0o600)
  return store
}

/** The system does not let us: that says nothing of what is in the files. */
function isRefused(error: unknown): boolean {
  const cause = error instanceof StorageError ? (error.cause as { code?: unknown; message?: string }) : undefined
  return /permission denied|read-only/i.test(`${cause?.message}`)
}

async function mark(path: string, name: string): Promise<void> {
  const file = await open(join(path, name), "w", 0o600)
  await file.sync().finally(() => file.close())
}

async function putAside(path: string, isWanted: boolean): Promise<void> {
  if (isWanted) return rm(path, { recursive: true, force: true })
  await rm(path + asideSuffix, { recursive: true, force: true })
  await rename(path, path + asideSuffix)
}

/*
 * Both of LMDB's first pages tell, little-endian, after a head of 24 bytes: u32 0xbeefc0de, u32 version 2, …, at 48 u32 bytes
 * of a page, at 144 u64 the last page. A file that ends before that page kills the process that reads there.
 */
const [magicAt, pageBytesAt, lastPageAt] = [24, 48, 144]
const magic = 0xbeefc0de
const headBytes = 4_096 + lastPageAt + 8

function lengthFault(path: string): string | undefined {
  const { size } = statSync(path)
  const bytes = Buffer.alloc(headBytes)
  const file = openSync(path, "r")
  try {
    if (readSync(file, bytes) < headBytes) return "its file was cut short"
  } finally {
    closeSync(file)
  }
  for (const at of [0, 4_096]) {
    if (bytes.readUInt32LE(at + magicAt) !== magic) return "its file does not begin as it should"
    const needed = (Number(bytes.readBigUInt64LE(at + lastPageAt)) + 1) * bytes.readUInt32LE(at + pageBytesAt)
    if (size < needed) return "its file was cut short"
  }
  return undefined
}
