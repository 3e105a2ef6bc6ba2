import { StorageFullError } from "../../core/errors.ts"
import type { Disk, DiskFile } from "./disk.ts"

const pageBytes = 4_096

/** A file: what it shows of one beneath, and what was written over it here. */
interface Overlay {
  readonly bytes: number
  /** The name of the file beneath; undefined: there is none. */
  readonly beneath: string | undefined
  readonly pages: Map<number, Uint8Array>
}

/** What may be written in all. */
class Room {
  #left: number
  constructor(bytes: number) {
    this.#left = bytes
  }
  take(bytes: number): void {
    this.#left -= bytes
    if (this.#left < 0) throw new StorageFullError("more would be written than fits in memory")
  }
}

/**
 * A disk that reads from another one and keeps in memory what is written: nothing beneath changes. At most `bytesMax` are kept;
 * then writing throws StorageFullError.
 */
export async function openOverlayDisk(beneath: Disk, bytesMax: number): Promise<Disk> {
  const room = new Room(bytesMax)
  const files = new Map<string, Overlay>()
  for (const { name, bytes } of await beneath.list()) files.set(name, { bytes, beneath: name, pages: new Map() })
  const create = (name: string, bytes: number) => {
    const file = { bytes, beneath: undefined, pages: new Map() }
    files.set(name, file)
    return new OverlayFile(name, file, undefined, room)
  }
  return {
    list: async () => [...files].map(([name, { bytes }]) => ({ name, bytes, bytesTaken: bytes })),
    create: async (name, bytes) => create(name, bytes),
    async createSparse(name, bytes, parts) {
      const file = create(name, bytes)
      for await (const { at, data } of parts) await file.write(data, at)
    },
    async open(name) {
      const file = files.get(name)
      const source =
        file === undefined || file.beneath !== undefined ? await beneath.open(file?.beneath ?? name) : undefined
      return new OverlayFile(name, file ?? { bytes: source!.bytes, beneath: name, pages: new Map() }, source, room)
    },
    async rename(from, to) {
      files.set(to, files.get(from)!)
      files.delete(from)
    },
    async remove(name) {
      files.delete(name)
    },
    freeBytes: () => beneath.freeBytes(),
  }
}

class OverlayFile implements DiskFile {
  readonly name: string
  readonly #file: Overlay
  readonly #beneath: DiskFile | undefined
  readonly #room: Room

  constructor(name: string, file: Overlay, beneath: DiskFile | undefined, room: Room) {
    this.name = name
    this.#file = file
    this.#beneath = beneath
    this.#room = room
  }

  get bytes(): number {
    return this.#file.bytes
  }

  async read(into: Uint8Array, at: number): Promise<number> {
    const length = Math.max(0, Math.min(into.length, this.bytes - at))
    into.fill(0, 0, length)
    if (this.#beneath !== undefined && length > 0) await this.#beneath.read(into.subarray(0, length), at)
    for (const { page, from, to, done } of pagesOf(length, at)) {
      const written = this.#file.pages.get(page)
      if (written !== undefined) into.set(written.subarray(from, to), done)
    }
    return length
  }

  async write(data: Uint8Array, at: number): Promise<void> {
    for (const { page, from, to, done } of pagesOf(data.length, at)) {
      const bytes = this.#file.pages.get(page) ?? (await this.#make(page))
      bytes.set(data.subarray(done, done + to - from), from)
    }
  }

  async isGone(): Promise<boolean> {
    return false
  }

  async close(): Promise<void> {
    await this.#beneath?.close()
  }

  async #make(page: number): Promise<Uint8Array> {
    this.#room.take(pageBytes)
    const bytes = new Uint8Array(pageBytes)
    await this.#beneath?.read(bytes, page * pageBytes)
    this.#file.pages.set(page, bytes)
    return bytes
  }
}

/** The parts of pages that so many bytes from a place on are in; `done`: bytes before. */
function* pagesOf(length: number, at: number) {
  for (let done = 0; done < length; ) {
    const [page, from] = [Math.floor((at + done) / pageBytes), (at + done) % pageBytes]
    const to = Math.min(pageBytes, from + length - done)
    yield { page, from, to, done }
    done += to - from
  }
}
