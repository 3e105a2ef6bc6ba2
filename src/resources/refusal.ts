/** Why something that was wanted is not so, and stays as it was. */
export type RefusalKind =
  /** It is wrong in itself: `faults` say where. */
  | "invalid"
  /** What it is about is not there. */
  | "not-found"
  /** What it would make is there already. */
  | "exists"
  /** What else there is does not allow it. */
  | "conflict"
  /** It was wanted of another state only. */
  | "precondition-failed"

/** One wrong field, by its JSON path (`filters[0].exact.type`). */
export interface FieldFault {
  readonly field: string
  readonly message: string
}

/**
 * What was wanted of a resource is refused; nothing is changed. `message` says why, in terms of no protocol: each door, as the
 * HTTP API, says it in its own, and what to do next there.
 */
export class RefusedError extends Error {
  override readonly name = "RefusedError"
  readonly kind: RefusalKind
  /** Of an invalid one; those that are told. */
  readonly faults: readonly FieldFault[]
  /** The kind of resource that it is about, in the plural: `triggers`. */
  readonly about: string | undefined

  constructor(
    kind: RefusalKind,
    message: string,
    more: { readonly faults?: readonly FieldFault[]; readonly about?: string } = {},
  ) {
    super(message)
    this.kind = kind
    this.faults = more.faults ?? []
    this.about = more.about
  }
}

/** Several wrong fields at once: those that are named, of `count` in all. */
export function invalidFields(faults: readonly FieldFault[], count = faults.length): RefusedError {
  const first = faults[0]!
  const more = count === 1 ? "" : `, and ${count - 1} more`
  const named = first.field === "" ? first.message : `${first.field} ${first.message}`
  return new RefusedError("invalid", `${named}${more}`, { faults })
}
