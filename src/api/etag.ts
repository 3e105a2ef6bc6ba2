/** A revision as an ETag header and as the `etag` field: what `If-Match` takes back. */
export function formatEtag(revision: number): string {
  return `"${revision}"`
}

/**
 * Whether an `If-Match` header holds for this revision: `*`, or a list that names it, quoted or bare. A weak tag
 * (`W/"3"`) never does, as RFC 9110 wants of If-Match.
 */
export function etagMatches(ifMatch: string, revision: number): boolean {
  return ifMatch
    .split(",")
    .map((tag) => tag.trim())
    .some((tag) => tag === "*" || tag === formatEtag(revision) || tag === String(revision))
}
