/** One line of the source, broken on purpose. */
export interface Mutant {
  readonly name: string
  readonly file: string
  /** Occurs exactly once in the file. */
  readonly before: string
  readonly after: string
}

export const mutants: readonly Mutant[] = []
