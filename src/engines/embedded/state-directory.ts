import { chmodSync, closeSync, existsSync, openSync, readSync, statfsSync, statSync } from "node:fs"
import { mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises"
import { join } from "node:path"
import { crc32 } from "node:zlib"
import { StorageError, StorageFullError } from "../../core/errors.ts"
import type { Store } from "../parts/store.ts"
import { type CheckedStore, copyTables, openLmdbStore } from "../parts/store-lmdb.ts"
import { readBookkeeping } from "./log/bookkeeping.ts"

const dataFile = "data.mdb"
/** There while the tables are being opened and checked: found at a start, the last one died of them. */
const openingMark = "opening"
/** There once something in the tables was found not to be as it was written. */
const damagedMark = "damaged"
/** There while nobody has the tables open: what the file of the tables is, byte for byte. */
const sealFile = "seal"
const copyFolder = "copy"
const asideSuffix = ".damaged"

export interface StateOptions {
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
  const sealed = (store: Store): Store => sealedAtItsEnd(store, path, () => noted.length === 0, options)
  await rm(join(path, copyFolder), { recursive: true, force: true })
  checkRoom(path)
  const wrong = await reasonAgainst(path)
  const opened = wrong === undefined ? await finished(await openChecked(path, onDamage)) : { wrong }
  if ("store" in opened) return { store: sealed(opened.store), health: () => noted }
  noted.length = 0
  await putAside(path)
  await mkdir(path, { recursive: true, mode: 0o700 })
  return { store: sealed(openTables(path, onDamage)), discarded: opened.wrong, health: () => noted }
}

/** What LMDB takes of the disk before it can say that there is none: for want of it the process dies. */
const roomBytesMin = 1 << 20

/** Throws StorageFullError. */
function checkRoom(path: string): void {
  const { bavail, bsize } = statfsSync(path)
  const isCopied = existsSync(join(path, dataFile)) && !existsSync(join(path, sealFile))
  const needed = roomBytesMin + (isCopied ? statSync(join(path, dataFile)).size : 0)
  if (bavail * bsize >= needed) return
  throw new StorageFullError(`state/ takes ${needed} bytes of room to be opened, and ${bavail * bsize} are free`)
}

/** What can be seen of the files without opening the tables. */
async function reasonAgainst(path: string): Promise<string | undefined> {
  const names = await readdir(path)
  if (names.includes(openingMark)) return "the last start ended while it opened it"
  if (names.includes(damagedMark)) return "it was found damaged while the hub ran"
  if (names.includes(dataFile)) return lengthFault(join(path, dataFile))
  return names.includes(sealFile) ? "its file is gone" : undefined
}

type Checked = { readonly store: CheckedStore } | { readonly wrong: string }

/** What a start had begun to make anew, and did not end, is no state to go on from. */
async function finished(opened: Checked): Promise<Checked> {
  if ("wrong" in opened || readBookkeeping(opened.store) !== undefined) return opened
  const [first] = opened.store.range("index", { limit: 1 })
  if (first === undefined) return opened
  await opened.store.close()
  return { wrong: "it was never finished" }
}

/**
 * A file that is as its seal says needs no more. Of a hub that was killed there is no seal: then the tables are copied, which
 * leaves behind LMDB's list of free pages and does not work where that is damaged, and every row is read.
 */
async function openChecked(path: string, onDamage: (what: string) => void): Promise<Checked> {
  const seal = await readFile(join(path, sealFile), "utf8").catch(() => undefined)
  const isNew = !existsSync(join(path, dataFile))
  if (seal !== undefined && seal !== (await sealOf(join(path, dataFile))))
    return { wrong: "its bytes are not as they were" }
  await rm(join(path, sealFile), { force: true })
  if (isNew || seal !== undefined) return { store: openTables(path, onDamage) }
  let store: CheckedStore | undefined
  try {
    await mark(path, openingMark)
    await copyOver(path)
    store = openTables(path, onDamage)
    await rm(join(path, openingMark), { force: true })
    return { store }
  } catch (error) {
    await store?.close()
    if (error instanceof StorageFullError || isRefused(error) || !(error instanceof Error)) {
      await rm(join(path, openingMark), { force: true })
      throw error
    }
    return { wrong: error.message }
  }
}

/** The tables' file made anew from what the tables hold. */
async function copyOver(path: string): Promise<void> {
  const copy = join(path, copyFolder)
  await mkdir(copy, { mode: 0o700 })
  await copyTables(path, copy)
  await rename(join(copy, dataFile), join(path, dataFile))
  await rm(copy, { recursive: true })
}

/** The store, whose file gets its seal when it is closed; none where `isSound` denies it. */
function sealedAtItsEnd(
  store: Store,
  path: string,
  isSound: () => boolean,
  { onNotice }: Pick<StateOptions, "onNotice">,
): Store {
  return {
    get: (table, key) => store.get(table, key),
    range: (table, range) => store.range(table, range),
    write: (writes) => store.write(writes),
    flushed: () => store.flushed(),
    async close() {
      await store.close()
      if (!isSound()) return
      try {
        await writeDurably(join(path, sealFile), await sealOf(join(path, dataFile)))
      } catch (error) {
        onNotice?.(
          `state/ could not be sealed (${(error as Error).message}); the next start checks it, or makes it anew`,
        )
      }
    },
  }
}

const sealStepBytes = 1 << 20

/** How many bytes a file has, and their CRC-32; the empty text where there is no file. */
async function sealOf(path: string): Promise<string> {
  const file = await open(path).catch(() => undefined)
  if (file === undefined) return ""
  try {
    const block = Buffer.allocUnsafe(sealStepBytes)
    let [crc, bytes] = [0, 0]
    // Ends: with the file.
    for (;;) {
      const { bytesRead } = await file.read(block, 0, block.length, bytes)
      if (bytesRead === 0) return `${bytes} ${crc}`
      crc = crc32(block.subarray(0, bytesRead), crc)
      bytes += bytesRead
    }
  } finally {
    await file.close()
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

function mark(path: string, name: string): Promise<void> {
  return writeDurably(join(path, name), "")
}

async function writeDurably(path: string, text: string): Promise<void> {
  const file = await open(path, "w", 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
  } finally {
    await file.close()
  }
}

async function putAside(path: string): Promise<void> {
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
