import {
  ClosedError,
  ConflictError,
  ExpectedLastError,
  LeaseLostError,
  OverloadError,
  StorageError,
  StorageFullError,
} from "../src/core/errors.ts"
import type { SimulatedChance } from "../src/testing/chance.ts"
import type { Operations } from "./operations.ts"
import type { Processes } from "./process.ts"
import type { Scenario } from "./scenario.ts"
import type { World } from "./world.ts"

/** What the people and programs around the hub share. */
export interface Workplace {
  readonly world: World
  readonly processes: Processes
  readonly scenario: Scenario
  readonly operations: Operations
  readonly chance: SimulatedChance
  /** Whether they go on. */
  readonly working: () => boolean
  /** Waits, at most until they are to go on no more. */
  readonly pause: (ms: number) => Promise<void>
}

/** What a caller of the engine is to expect at any time; anything else is a bug. */
const refusals = [
  StorageFullError,
  StorageError,
  OverloadError,
  ClosedError,
  ConflictError,
  ExpectedLastError,
  LeaseLostError,
]

/** Fails the run where a refusal is none that is to be expected. */
export function expectRefusal({ fail }: World, error: Error): void {
  if (!refusals.some((kind) => error instanceof kind)) fail(error)
}
