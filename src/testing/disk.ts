import { StorageError, StorageFullError } from "../core/errors.ts"
import type { Disk, DiskFile } from "../engines/embedded/engine.ts"
import type { SimulatedChance } from "./chance.ts"
import type { Power } from "./power.ts"

/** The unit that a disk writes whole or not at all. */
export const blockBytes = 512

export interface SimulatedDiskOptions {
  readonly chance: SimulatedChance
  /** How large the disk is at first; default: without end. */
  readonly bytesMax?: number
  /** How long an operation takes, in milliseconds; default: 0.1 to 0.5, now and then up to 20. */
  readonly latencyMs?: (operation: string) => number
}

/** A disk that outlives the processes that use it, and keeps only what a real one would. */
export interface SimulatedDisk {
  /**
   * The disk as one process sees it. When its power is cut, each write in flight leaves any part of itself, block by
   * block; each file being made, renamed or removed is there or not; what had resolved stays.
   */
  mount(power: Power): Disk
  /** How large the disk is. Making it smaller than what is used makes it full. */
  bytesMax: number
  readonly bytesUsed: number
  /** The next so many writes throw StorageError and leave any part of themselves. */
  failWrites(count: number): void
  /** The next so many questions for free room throw StorageError. */
  failFree(count: number): void
  /** Inverts one bit (0 to 7) of a file. */
  flipBit(name: string, at: number, bit: number): void
  /** Cuts a file short. */
  truncate(name: string, bytes: number): void
  /** Takes a file away. */
  remove(name: string): void
  /** Gives each of two files the other's name. */
  exchange(name: string, other: string): void
  /** The files by name, as they are now. */
  files(): readonly { readonly name: string; readonly bytes: number; readonly bytesTaken: number }[]
  /** A part of a file as it is now. */
  peek(name: string, at: number, bytes: number): Uint8Array
}

/** An empty disk. */
export function createSimulatedDisk(options: SimulatedDiskOptions): SimulatedDisk {
  const state: DiskState = {
    chance: options.chance,
    latencyMs: options.latencyMs ?? usualLatency(options.chance),
    files: new Map(),
    bytesMax: options.bytesMax ?? Number.MAX_SAFE_INTEGER,
    failures: 0,
    freeFailures: 0,
  }
  const existing = (name: string): Content => {
    const content = state.files.get(name)
    if (!content) throw new StorageError(`no file ${name}`)
    return content
  }
  return {
    mount: (power) => new MountedDisk(state, power),
    get bytesMax() {
      return state.bytesMax
    },
    set bytesMax(bytes) {
      state.bytesMax = bytes
    },
    get bytesUsed() {
      return bytesUsed(state)
    },
    failWrites(count) {
      state.failures = count
    },
    failFree(count) {
      state.freeFailures = count
    },
    flipBit(name, at, bit) {
      const byte = existing(name).read(at, 1)
      byte[0]! ^= 1 << bit
      existing(name).write(byte, at)
    },
    truncate: (name, bytes) => existing(name).truncate(bytes),
    remove(name) {
      existing(name)
      state.files.delete(name)
    },
    exchange(name, other) {
      const [content, others] = [existing(name), existing(other)]
      state.files.set(name, others).set(other, content)
    },
    files: () => [...state.files].map(([name, { bytes, bytesTaken }]) => ({ name, bytes, bytesTaken })),
    peek: (name, at, bytes) => existing(name).read(at, bytes),
  }
}

interface DiskState {
  readonly chance: SimulatedChance
  readonly latencyMs: (operation: string) => number
  readonly files: Map<string, Content>
  bytesMax: number
  failures: number
  freeFailures: number
}

function usualLatency(chance: SimulatedChance): () => number {
  return () => (chance.happens(0.02) ? 20 * chance.next() : 0.1 + 0.4 * chance.next())
}

function bytesUsed(state: DiskState): number {
  let sum = 0
  for (const content of state.files.values()) sum += content.bytesTaken
  return sum
}

/** The disk as one process sees it. */
class MountedDisk implements Disk {
  readonly #state: DiskState
  readonly #power: Power
  /** What a power cut makes of each operation in flight. */
  readonly #pending = new Set<() => void>()

  constructor(state: DiskState, power: Power) {
    this.#state = state
    this.#power = power
    power.onCut(() => {
      for (const torn of this.#pending) torn()
      this.#pending.clear()
    })
  }

  list() {
    const { files, chance } = this.#state
    const entries = () => [...files].map(([name, { bytes, bytesTaken }]) => ({ name, bytes, bytesTaken }))
    return this.#perform("list", nothing, () => shuffled(entries(), chance))
  }

  async create(name: string, bytes: number): Promise<DiskFile> {
    const { files, chance } = this.#state
    const torn = () => {
      if (chance.happens(0.5)) files.set(name, new Content(chance.pick([0, bytes, chance.between(0, bytes)]), bytes))
    }
    const take = () => this.#take(name, new Content(bytes, bytes))
    return this.#handle(name, await this.#perform(`create ${name}`, torn, take))
  }

  async createSparse(
    name: string,
    bytes: number,
    parts: AsyncIterable<{ readonly at: number; readonly data: Uint8Array }>,
  ): Promise<void> {
    const content = new Content(bytes, 0)
    const torn = () => {
      if (this.#state.chance.happens(0.5)) this.#state.files.set(name, content)
    }
    if (this.#power.on) this.#pending.add(torn)
    try {
      for await (const { at, data } of parts) {
        content.write(data, at)
        content.bytesTaken += Math.ceil(data.length / blockBytes) * blockBytes
      }
    } finally {
      this.#pending.delete(torn)
    }
    await this.#perform(`create ${name}`, torn, () => this.#take(name, content))
  }

  async open(name: string): Promise<DiskFile> {
    const content = await this.#perform(`open ${name}`, nothing, () => this.#state.files.get(name))
    if (!content) throw new StorageError(`no file ${name}`)
    return this.#handle(name, content)
  }

  rename(from: string, to: string): Promise<void> {
    const { files } = this.#state
    return this.#changeName(`rename ${from} ${to}`, () => {
      const content = files.get(from)
      if (!content) throw new StorageError(`no file ${from}`)
      files.delete(from)
      files.set(to, content)
    })
  }

  remove(name: string): Promise<void> {
    return this.#changeName(`remove ${name}`, () => void this.#state.files.delete(name))
  }

  freeBytes(): Promise<number> {
    const state = this.#state
    return this.#perform("free", nothing, () => {
      if (state.freeFailures-- > 0) throw new StorageError("the free room cannot be told")
      return Math.max(0, state.bytesMax - bytesUsed(state))
    })
  }

  /** Does `effect` after a while; a cut before that does `torn`. */
  async #perform<T>(what: string, torn: () => void, effect: () => T): Promise<T> {
    if (!this.#power.on) return new Promise<T>(() => {})
    this.#pending.add(torn)
    return this.#power.spend(what, this.#state.latencyMs(what), () => {
      this.#pending.delete(torn)
      return effect()
    })
  }

  /** In flight it has happened or not. */
  #changeName(what: string, effect: () => void): Promise<void> {
    return this.#perform(what, () => void (this.#state.chance.happens(0.5) && effect()), effect)
  }

  #take(name: string, content: Content): Content {
    const { files, bytesMax } = this.#state
    if (bytesUsed(this.#state) + content.bytesTaken > bytesMax) throw new StorageFullError(`no room for ${name}`)
    files.set(name, content)
    return content
  }

  #handle(name: string, content: Content): DiskFile {
    const perform: Perform = (what, torn, effect) => this.#perform(what, torn, effect)
    return openFile({ name, content, state: this.#state, perform })
  }
}

type Perform = <T>(what: string, torn: () => void, effect: () => T) => Promise<T>

interface FileOptions {
  readonly name: string
  readonly content: Content
  readonly state: DiskState
  readonly perform: Perform
}

function openFile({ name, content, state, perform }: FileOptions): DiskFile {
  const { chance } = state
  let open = true
  const mustBeOpen = () => {
    if (!open) throw new Error(`${name} is used after it was closed`)
  }
  return {
    name,
    bytes: content.bytes,
    async read(into, at) {
      mustBeOpen()
      return perform(`read ${name}`, nothing, () => {
        const bytes = Math.max(0, Math.min(into.length, content.bytes - at))
        into.set(content.read(at, bytes))
        return bytes
      })
    },
    async write(data, at) {
      mustBeOpen()
      if (at + data.length > content.bytes) throw new Error(`a write past the end of ${name}`)
      const sent = data.slice()
      const torn = () => writeSomeBlocks(content, sent, at, chance)
      return perform(`write ${name} ${at}+${data.length}`, torn, () => {
        if (Buffer.compare(sent, data) !== 0) throw new Error(`the bytes of a write to ${name} changed while in flight`)
        if (state.failures > 0) {
          state.failures--
          torn()
          throw new StorageError(`writing to ${name} failed`)
        }
        content.write(sent, at)
      })
    },
    /** Nobody else is there. */
    isGone: async () => false,
    async close() {
      open = false
    },
  }
}

/** Writes nothing, everything, a first part, or any choice of the blocks that `data` touches. */
function writeSomeBlocks(content: Content, data: Uint8Array, at: number, chance: SimulatedChance): void {
  const manner = chance.pick(["none", "all", "first", "any"] as const)
  if (manner === "none") return
  const blocks: (readonly [start: number, end: number])[] = []
  for (let start = 0; start < data.length; ) {
    const end = Math.min(data.length, start + blockBytes - ((at + start) % blockBytes))
    blocks.push([start, end])
    start = end
  }
  const first = chance.between(0, blocks.length)
  blocks.forEach(([start, end], index) => {
    if (manner === "first" && index >= first) return
    if (manner === "any" && chance.happens(0.5)) return
    content.write(data.subarray(start, end), at + start)
  })
}

function nothing(): void {}

function shuffled<T>(items: T[], chance: SimulatedChance): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = chance.between(0, i)
    const item = items[i]!
    items[i] = items[j]!
    items[j] = item
  }
  return items
}

const pageBytes = 16_384

/** The bytes of a file, in pages that exist once written; the rest is zeros. */
class Content {
  bytes: number
  /** What the file takes of the disk. */
  bytesTaken: number
  readonly #pages = new Map<number, Uint8Array>()

  constructor(bytes: number, bytesTaken: number) {
    this.bytes = bytes
    this.bytesTaken = bytesTaken
  }

  write(data: Uint8Array, at: number): void {
    const end = Math.min(data.length, this.bytes - at)
    for (let done = 0; done < end; ) {
      const index = Math.floor((at + done) / pageBytes)
      const offset = (at + done) % pageBytes
      const part = data.subarray(done, Math.min(end, done + pageBytes - offset))
      const page = this.#pages.get(index) ?? new Uint8Array(pageBytes)
      page.set(part, offset)
      this.#pages.set(index, page)
      done += part.length
    }
  }

  read(at: number, bytes: number): Uint8Array {
    const into = new Uint8Array(bytes)
    for (let done = 0; done < bytes; ) {
      const offset = (at + done) % pageBytes
      const length = Math.min(bytes - done, pageBytes - offset)
      const page = this.#pages.get(Math.floor((at + done) / pageBytes))
      if (page) into.set(page.subarray(offset, offset + length), done)
      done += length
    }
    return into
  }

  truncate(bytes: number): void {
    this.bytes = Math.min(this.bytes, bytes)
    this.bytesTaken = Math.min(this.bytesTaken, this.bytes)
  }
}
