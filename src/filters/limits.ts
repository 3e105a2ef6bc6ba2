/** What a filter may cost at most. A filter past a limit is refused when it is saved. */
export const limits = {
  /** Filters in one array. */
  filtersMax: 64,
  /** Filter objects within filter objects. */
  depthMax: 16,
  /** Clauses of all filters of one resource together. */
  nodesMax: 256,
  /** Characters of one text value: an attribute's value, a prefix, a pattern. */
  textCharactersMax: 4096,
  /** Wildcards in one pattern. */
  wildcardsMax: 64,
  /** Characters between two `%` of a LIKE pattern where some of them are `_`. */
  openCharactersMax: 256,
  /** Segments of one path pattern. */
  segmentsMax: 256,
  /** Characters of the name of a member of data. */
  nameCharactersMax: 1024,
  /** Steps to a place in data: as deep as data goes. */
  stepsMax: 128,
  /** Characters of an expression in sql or query. */
  expressionCharactersMax: 16384,
  /** Faults that are named before the rest is left out. */
  faultsMax: 100,
} as const
