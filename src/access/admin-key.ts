import type { FileHandle } from "node:fs/promises"
import { mkdir, open, stat } from "node:fs/promises"
import { join } from "node:path"
import { defaultTenant } from "../core/address.ts"
import type { Catalog } from "../core/catalog.ts"
import { accessKeys } from "../core/catalog-keys.ts"
import type { Clock } from "../core/clock.ts"
import { formatKey, hashKey, isKey, type StoredKey } from "./keys.ts"

export interface AdminKeyOptions {
  /** The data directory. */
  readonly directory: string
  /** The key itself, from the settings; then no file is read or made. */
  readonly given?: string
  /** Whether other processes have the same catalog: then a key that one of them has made is everybody's. */
  readonly shared?: boolean
  readonly catalog: Pick<Catalog, "get" | "put">
  readonly clock: Clock
  /** Bytes that nobody can guess: randomBytes of node:crypto. */
  readonly random: (bytes: number) => Uint8Array
}

export type AdminKey =
  | { readonly kind: "ready"; readonly path: string; readonly key: string; readonly created: boolean }
  /** Another process has made it, and has its file. */
  | { readonly kind: "elsewhere" }
  /** `message` says what to do. */
  | { readonly kind: "refused"; readonly path: string; readonly message: string }

const fileName = "admin.key"
const catalogKey = accessKeys.of({ tenant: defaultTenant, id: "admin" })
/** What the group and others may do; nothing. */
const foreignBits = 0o077

/**
 * The admin key: read from its file, or made at the first start. The file is the truth: another key in it, or a new file
 * after the old one was removed, replaces what the catalog knows. Throws only for a file system that fails.
 */
export async function loadAdminKey(options: AdminKeyOptions): Promise<AdminKey> {
  const path = join(options.directory, fileName)
  if (options.given !== undefined) {
    await remember(options, options.given)
    return { kind: "ready", path, key: options.given, created: false }
  }
  if (options.shared && (await isElsewhere(options.catalog, path))) return { kind: "elsewhere" }
  await mkdir(options.directory, { recursive: true })
  const file = (await create(path)) ?? (await open(path, "r"))
  try {
    const found = await read(file, path, options.random)
    if (found.kind === "ready") await remember(options, found.key)
    return found
  } finally {
    await file.close()
  }
}

async function isElsewhere(catalog: Pick<Catalog, "get">, path: string): Promise<boolean> {
  return (await catalog.get(catalogKey)) !== undefined && (await stat(path).catch(() => undefined)) === undefined
}

/** The new file; undefined where there is one already. */
async function create(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "wx+", 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return undefined
    throw error
  }
}

/** Why a start would refuse an admin key's file, and what to do; undefined where it would not. */
export async function adminKeyFault(path: string): Promise<string | undefined> {
  const file = await open(path, "r")
  try {
    return (await look(file, path)).fault
  } finally {
    await file.close()
  }
}

async function look(file: FileHandle, path: string): Promise<{ readonly fault?: string; readonly text: string }> {
  const stats = await file.stat()
  if (!stats.isFile())
    return { fault: `${path} is no file, and has to hold the admin key. Move it away, and start again`, text: "" }
  const { mode } = stats
  if (process.platform !== "win32" && (mode & foreignBits) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(3, "0")
    const fault = `others can read the admin key (mode ${octal}). Remove ${path} to get a new key, or run: chmod 600 ${path}`
    return { fault, text: "" }
  }
  const text = (await file.readFile("utf8")).trim()
  // Empty: just made, or a first start was cut off right there.
  if (text === "" || isKey(text)) return { text }
  const fault = `${path} holds no key. Put back the one that it held, or remove it to get a new key at the next start`
  return { fault, text }
}

async function read(file: FileHandle, path: string, random: AdminKeyOptions["random"]): Promise<AdminKey> {
  const { fault, text } = await look(file, path)
  if (fault !== undefined) return { kind: "refused", path, message: fault }
  if (text === "") return { kind: "ready", path, key: await write(path, formatKey(random(32))), created: true }
  return { kind: "ready", path, key: text, created: false }
}

async function write(path: string, key: string): Promise<string> {
  const file = await open(path, "r+")
  try {
    await file.write(`${key}\n`, 0)
    await file.sync()
    return key
  } finally {
    await file.close()
  }
}

async function remember({ catalog, clock }: AdminKeyOptions, key: string): Promise<void> {
  const sha256 = hashKey(key).toString("hex")
  const known = await catalog.get<StoredKey>(catalogKey)
  if (known?.value.sha256 === sha256 && known.value.rights?.includes("operate")) return
  const stored: StoredKey = { id: "admin", tenant: defaultTenant, sha256, createdAt: clock.now(), rights: ["operate"] }
  await catalog.put(catalogKey, stored)
}
