import type { Precondition } from "../resources/store.ts"
import { etagMatches } from "./etag.ts"

interface Named {
  readonly name: string
}

/** What a change may ask of what is there, as its headers say it. */
interface Preconditions {
  readonly ifMatch?: string | undefined
  readonly ifNoneMatch?: string | undefined
}

/** As RFC 9110 wants it: If-Match needs that it is there at such a revision, and If-None-Match that it is not. */
export function preconditionOf({ name }: Named, id: string, { ifMatch, ifNoneMatch }: Preconditions): Precondition {
  return (revision) => {
    if (revision === undefined) {
      if (ifMatch === undefined) return undefined
      return `there is no ${name} ${JSON.stringify(id)}, and If-Match asks for one; leave it out to make one`
    }
    if (ifMatch !== undefined && !etagMatches(ifMatch, revision))
      return `${name} ${id} is at another revision than If-Match names; read it again and repeat the change on that`
    if (ifNoneMatch === undefined || !etagMatches(ifNoneMatch, revision)) return undefined
    return `there is a ${name} ${JSON.stringify(id)} already, and If-None-Match asks for none; leave it out to replace it`
  }
}
