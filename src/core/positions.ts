import type { Cursor } from "./cursor.ts"

/** How far readers of the log have come, and on whose behalf they read. */
export interface Positions {
  position(reader: string): Promise<Cursor | undefined>
  /** From now on nothing is taken of earlier holders of this assignment; what they were told was stored, is there. */
  claim(fence: Fence): Promise<void>
  /** Forgets a reader. */
  forget(reader: string): Promise<void>
}

/** How far a named reader of the log has come. */
export interface Position {
  readonly reader: string
  readonly cursor: Cursor
  /** On whose behalf: refused with AssignmentLostError once a later holder of that assignment has called {@link Positions.claim}. */
  readonly fence?: Fence
}

/** Which holding of an assignment this is: later ones have greater epochs. */
export interface Fence {
  readonly name: string
  readonly epoch: number
}
