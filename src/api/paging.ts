import { createHash } from "node:crypto"
import { ProblemError } from "./errors.ts"
import type { Share } from "./room.ts"

export const pageSizeDefault = 50
export const pageSizeMax = 1_000

/** One page of a list. `nextPageToken` is absent at the end. */
export interface Page<Item> {
  readonly items: readonly Item[]
  readonly nextPageToken?: string
}

/**
 * A token for the rest of the list that `query` names, from after `after`. Opaque, and good for the same query only: a
 * token that were taken for another would skip items without a word.
 */
export function formatPageToken(query: readonly unknown[], after: string): string {
  return Buffer.from(JSON.stringify([digest(query), after])).toString("base64url")
}

/** Where the page begins; undefined for the first. Throws ProblemError for a token that is none, or another query's. */
export function parsePageToken(query: readonly unknown[], token: string | undefined): string | undefined {
  if (token === undefined) return undefined
  const parts = decode(token)
  if (!Array.isArray(parts) || parts.length !== 2 || !/^[\w.~-]{0,200}$/.test(String(parts[1]))) {
    throw invalid("is not a page token; leave it out to begin with the first page")
  }
  if (parts[0] !== digest(query)) {
    throw invalid("belongs to another query; send it with the query that it came from, or leave it out")
  }
  return String(parts[1])
}

/**
 * A page out of `found`, which holds one item more than the page where there is a next one.
 * `keyOf` is where the list goes on after an item.
 */
export function toPage<Item>(
  query: readonly unknown[],
  found: readonly Item[],
  pageSize: number,
  keyOf: (item: Item) => string,
): Page<Item> {
  if (found.length <= pageSize) return { items: found }
  const items = found.slice(0, pageSize)
  return { items, nextPageToken: formatPageToken(query, keyOf(items.at(-1)!)) }
}

/** A page's items are as large as this together at most, or are one. */
export const pageBytesMax = 4 * 1024 * 1024

/** A page as it grows, of items as they are shown; room is taken for each. */
export class PageItems<Shown> {
  readonly #pageSize: number
  readonly #share: Share
  readonly #items: Shown[] = []
  #bytes = 0
  #last = ""
  #isCut = false

  constructor(pageSize: number, share: Share) {
    this.#pageSize = pageSize
    this.#share = share
  }

  /**
   * False where the item is not on this page any more, which ends before it. `key` is where the list goes on after it.
   * Throws ProblemError where there is no room for it.
   */
  add(item: Shown, key: string): boolean {
    const bytes = JSON.stringify(item).length
    const isFull = this.#items.length >= this.#pageSize || this.#bytes + bytes > pageBytesMax
    if (isFull && this.#items.length > 0) {
      this.#isCut = true
      return false
    }
    this.#share.add(bytes)
    this.#bytes += bytes
    this.#items.push(item)
    this.#last = key
    return true
  }

  /** The page of the list that `query` names; `next` is where that goes on behind all that was added. */
  page(query: readonly unknown[], next?: string): Page<Shown> {
    const after = this.#isCut ? this.#last : next
    return { items: this.#items, ...(after !== undefined && { nextPageToken: formatPageToken(query, after) }) }
  }
}

function digest(query: readonly unknown[]): string {
  return createHash("sha256")
    .update(JSON.stringify(query.map((part) => part ?? null)))
    .digest("base64url")
    .slice(0, 11)
}

function decode(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token, "base64url").toString("utf8"))
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function invalid(message: string): ProblemError {
  return new ProblemError("invalid-argument", `pageToken ${message}`, { errors: [{ field: "pageToken", message }] })
}
