import type { Cursor } from "./cursor.ts"

/** Remembers how far each reader of the log has come, and lets only the holder of its assignment move it. */
export interface Positions {
  /** Answers how far a reader has come; undefined where none of this name was saved. */
  position(reader: string): Promise<Cursor | undefined>
  /** Refuses earlier holders of this assignment from now on. What was stored for them before stays stored. */
  claim(fence: Fence): Promise<void>
  /** Forgets a reader. */
  forget(reader: string): Promise<void>
}

/** How far a named reader of the log has come. */
export interface Position {
  readonly reader: string
  readonly cursor: Cursor
  /**
   * The holder on whose behalf the reader reads. Once a later holder has called {@link Positions.claim}, the queue refuses this
   * position with AssignmentLostError.
   */
  readonly fence?: Fence
}

/** Names one holder of an assignment. A later holder has a greater epoch. */
export interface Fence {
  readonly name: string
  readonly epoch: number
}
