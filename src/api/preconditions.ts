import type { Item } from "../core/catalog.ts"
import { ProblemError } from "./errors.ts"
import { etagMatches } from "./etag.ts"

interface Named {
  readonly name: string
}

/** What a change may ask of what is there, as its headers say it. */
interface Preconditions {
  readonly ifMatch?: string | undefined
  readonly ifNoneMatch?: string | undefined
}

/** Throws ProblemError where the resource is not at the revision that If-Match names. */
export function requireMatch(type: Named, item: Item<{ readonly id: string }>, ifMatch: string | undefined): void {
  if (ifMatch === undefined || etagMatches(ifMatch, item.revision)) return
  throw changedMeanwhile(type.name, item.value.id)
}

/** As RFC 9110 wants of a PUT: If-Match needs that it is there, and If-None-Match that it is not, or is at another revision. Throws ProblemError. */
export function requirePreconditions(
  type: Named,
  id: string,
  item: Item<{ readonly id: string }> | undefined,
  { ifMatch, ifNoneMatch }: Preconditions,
): void {
  if (item === undefined) {
    if (ifMatch === undefined) return
    throw new ProblemError(
      "precondition-failed",
      `there is no ${type.name} ${JSON.stringify(id)}, and If-Match asks for one; leave it out to make one`,
    )
  }
  requireMatch(type, item, ifMatch)
  if (ifNoneMatch === undefined || !etagMatches(ifNoneMatch, item.revision)) return
  throw new ProblemError(
    "precondition-failed",
    `there is a ${type.name} ${JSON.stringify(id)} already, and If-None-Match asks for none; leave it out to replace it`,
  )
}

/** What is answered where another revision is there than was asked for. */
export function changedMeanwhile(name: string, id: string): ProblemError {
  return new ProblemError(
    "precondition-failed",
    `${name} ${id} is at another revision than If-Match names; read it again and repeat the change on that`,
  )
}
