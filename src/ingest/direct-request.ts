import { withoutBlanks } from "../formats/blanks.ts"

/** A publish that has come whole, in the plainest form that HTTP/1.1 has. */
export interface DirectRequest {
  readonly head: DirectHead
  readonly body: Buffer
  /** Where the next request begins. */
  readonly end: number
}

/** A head; the same object for the same bytes, most of the time. */
export interface DirectHead {
  readonly url: string
  /** As node:http gives them: name, value, name, value … */
  readonly rawHeaders: readonly string[]
  /** The body's length. */
  readonly length: number
  /** What follows from it, for whoever takes the request. */
  known?: unknown
}

const begin = "POST /v1/topics/"
const headEnd = "\r\n\r\n"
/** What node:http takes, and so the most that it would be asked to take over. */
const headBytesMax = 16_384
const headersMax = 64
/** Nothing that a server may read in two ways: no folded line, no lone CR or LF, no control character. */
const shape = /^POST ([!-~]+) HTTP\/1\.1(?:\r\n[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*)+$/
const digits = /^\d{1,9}$/
/** Of a larger body the connection is not waited for here. */
const waitedBytesMax = 65_536
/** What says how a connection or a body goes on, beyond the plainest way. */
const unplain = new Set([
  "expect",
  "http2-settings",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
])

/** Heads of this size at most are remembered, and so many of them: clients send the same one again and again. */
const [knownBytesMax, knownMax] = [1_024, 1_024]

/** Reads requests, and remembers their heads. */
export class DirectRequests {
  readonly #known = new Map<string, DirectHead>()

  /**
   * The request that these bytes begin with. `more`: so far it could be one, and the rest of it is to come. Undefined where it is
   * none, or says anything about how it is framed but one content-length: that is node:http's to read, and so nothing is read here
   * in another way than there.
   */
  read(bytes: Buffer): DirectRequest | "more" | undefined {
    const first = bytes.toString("latin1", 0, begin.length)
    const found = first === begin ? bytes.indexOf(headEnd, 0, "latin1") : -1
    const headBytes = found < 0 ? bytes.length : found
    if (!begin.startsWith(first) || headBytes > headBytesMax) return undefined
    if (found < 0) return "more"
    const head = this.#head(bytes.toString("latin1", 0, found))
    if (head === undefined) return undefined
    const start = found + headEnd.length
    const end = start + head.length
    if (end > bytes.length) return head.length > waitedBytesMax ? undefined : "more"
    return { head, body: bytes.subarray(start, end), end }
  }

  #head(text: string): DirectHead | undefined {
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const head = parseHead(text)
    // What has the event's own attributes does not come again.
    if (head === undefined || text.length > knownBytesMax || attribute.test(text)) return head
    if (this.#known.size >= knownMax) this.#known.clear()
    this.#known.set(text, head)
    return head
  }
}

const attribute = /\r\nce-/i

function parseHead(text: string): DirectHead | undefined {
  const url = shape.exec(text)?.[1]
  if (url === undefined) return undefined
  const rawHeaders = headersOf(text)
  const length = rawHeaders && lengthOf(rawHeaders)
  return rawHeaders === undefined || length === undefined ? undefined : { url, rawHeaders, length }
}

function headersOf(head: string): readonly string[] | undefined {
  const lines = head.split("\r\n")
  if (lines.length > headersMax) return undefined
  const raw: string[] = []
  for (let i = 1; i < lines.length; i++) {
    const line = lines[i]!
    const colon = line.indexOf(":")
    raw.push(line.slice(0, colon), withoutBlanks(line.slice(colon + 1)))
  }
  return raw
}

/** The body's length, where there is one host and one length, and nothing else about the connection. */
function lengthOf(rawHeaders: readonly string[]): number | undefined {
  let length: number | undefined
  let hosts = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    const value = rawHeaders[i + 1]!
    if (name === "content-length") {
      if (length !== undefined || !digits.test(value)) return undefined
      length = Number(value)
    } else if (name === "host") hosts++
    else if (name === "connection") {
      if (value.toLowerCase() !== "keep-alive") return undefined
    } else if (unplain.has(name)) return undefined
  }
  return hosts === 1 ? length : undefined
}
