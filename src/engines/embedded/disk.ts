/** A directory of segment files: the little of a file system that the log uses, so that a simulated disk can take its place. */
export interface Disk {
  /** The files of the directory, by name, and what they take of the disk: less than their bytes where they are sparse. */
  list(): Promise<readonly { readonly name: string; readonly bytes: number; readonly bytesTaken: number }[]>
  /**
   * Makes a file of `bytes` zeros; all of it has room on the disk, durably, when this resolves. Throws StorageFullError. `ahead`:
   * nobody waits for it, and it leaves the disk to others most of the time.
   */
  create(name: string, bytes: number, ahead?: boolean): Promise<DiskFile>
  /** Makes a file that takes room only for `parts`, durably; what lies between reads as zeros. Throws StorageFullError. */
  createSparse(
    name: string,
    bytes: number,
    parts: AsyncIterable<{ readonly at: number; readonly data: Uint8Array }>,
  ): Promise<void>
  open(name: string): Promise<DiskFile>
  /** Durable; replaces `to`. */
  rename(from: string, to: string): Promise<void>
  remove(name: string): Promise<void>
  /** Bytes that can still be written to this file system. */
  freeBytes(): Promise<number>
}

export interface DiskFile {
  readonly name: string
  readonly bytes: number
  /** Fills `into` from `at`; answers how many bytes there were. */
  read(into: Uint8Array, at: number): Promise<number>
  /**
   * Overwrites in place; on disk when it resolves. A crash before that may leave any part of it. Throws StorageError, and
   * UnavailableError where the file {@link isGone}.
   */
  write(data: Uint8Array, at: number): Promise<void>
  /** Whether its name is another file's now, or nobody's, because somebody has removed it, taken it away or replaced it. */
  isGone(): Promise<boolean>
  close(): Promise<void>
}
