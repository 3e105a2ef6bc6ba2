import { isAttributeHeader } from "../formats/http-binding.ts"

/** The headers of a request that publishing looks at. */
export interface Head {
  readonly authorization: string | undefined
  readonly contentType: string | undefined
  /** NaN where none is said: the body comes in chunks, or there is none. */
  readonly contentLength: number
  readonly contentEncoding: string | undefined
  readonly expectedLast: string | undefined
  /** The sender waits to be told that it may send its body. */
  readonly asksFirst: boolean
  /** There is at least one `ce-…`. */
  readonly attributes: boolean
}

/** Reads the raw headers once, without making an object of all of them. Of a repeated header the first counts. */
export function readHead(rawHeaders: readonly string[]): Head {
  let authorization: string | undefined
  let contentType: string | undefined
  let contentLength: string | undefined
  let contentEncoding: string | undefined
  let expectedLast: string | undefined
  let asksFirst = false
  let attributes = false
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    // By length first: nearly no header gets further.
    switch (name.length) {
      case 6:
        if (is(name, "expect")) asksFirst ||= is(rawHeaders[i + 1]!, "100-continue")
        break
      case 12:
        if (is(name, "content-type")) contentType ??= rawHeaders[i + 1]
        break
      case 13:
        if (is(name, "authorization")) authorization ??= rawHeaders[i + 1]
        break
      case 14:
        if (is(name, "content-length")) contentLength ??= rawHeaders[i + 1]
        break
      case 16:
        if (is(name, "content-encoding")) contentEncoding ??= rawHeaders[i + 1]
        break
      case 20:
        if (is(name, "redcar-expected-last")) expectedLast ??= rawHeaders[i + 1]
    }
    attributes ||= isAttributeHeader(name)
  }
  return {
    authorization,
    contentType: contentType || undefined,
    contentLength: contentLength === undefined ? Number.NaN : Number(contentLength),
    contentEncoding,
    expectedLast,
    asksFirst,
    attributes,
  }
}

function is(name: string, lowerCase: string): boolean {
  return name === lowerCase || name.toLowerCase() === lowerCase
}
