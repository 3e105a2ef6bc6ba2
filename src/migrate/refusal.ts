import { StartRefusedError } from "../core/errors.ts"

/** A migration that cannot begin or go on as things are; nothing was harmed. `next` says what to do. */
export class MigrationRefusedError extends StartRefusedError {
  override readonly name = "MigrationRefusedError"
}

/** The migration was told to stop; what is copied is kept, and the same migration goes on from there. */
export class MigrationStoppedError extends Error {
  override readonly name = "MigrationStoppedError"
  constructor() {
    super("the migration was stopped")
  }
}
