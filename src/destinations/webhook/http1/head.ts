import { withoutBlanks } from "../../../formats/blanks.ts"

/** What an answer's head says (RFC 9112). */
export interface AnswerHead {
  readonly status: number
  /** The reason phrase as received; may be empty. */
  readonly reason: string
  /** Names in lower case; values of a name that comes again are joined by commas. */
  readonly headers: Readonly<Record<string, string>>
  readonly framing: Framing
  /** Whether the connection may carry another request when the answer has ended. */
  readonly persistent: boolean
}

/** Where the body ends: after so many bytes, after the last chunk, or with the connection. */
export type Framing = { readonly kind: "length"; readonly bytes: number } | { readonly kind: "chunked" | "close" }

/** Why something is no answer. */
export interface AnswerFault {
  readonly fault: string
}

export const noStatusLine = "its first line is no status line"

const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: ([\t\x20-\x7e\x80-\xff]*))?$/
const headerName = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/
const valueFault = /[^\t\x20-\x7e\x80-\xff]/
const noBody: Framing = { kind: "length", bytes: 0 }
const untilClose: Framing = { kind: "close" }

/** Reads a head, without the empty line that ends it; each character is a byte. */
export function parseHead(text: string): AnswerHead | AnswerFault {
  const [first, ...lines] = text.split("\r\n")
  const parts = statusLine.exec(first!)
  if (parts === null) return { fault: noStatusLine }
  const headers: Record<string, string> = {}
  let name = ""
  for (const line of lines) {
    const folded = line.startsWith(" ") || line.startsWith("\t")
    const colon = folded ? -1 : line.indexOf(":")
    if (!folded) name = line.slice(0, Math.max(0, colon))
    if (!headerName.test(name)) return { fault: "a line of its head is no header" }
    const value = withoutBlanks(line.slice(colon + 1))
    if (valueFault.test(value)) return { fault: `its header ${name} holds a control character` }
    add(headers, name.toLowerCase(), value, folded ? " " : ", ")
  }
  const status = Number(parts[2])
  const framing = framingOf(status, headers, parts[1] === "1")
  if ("fault" in framing) return framing
  return { status, reason: parts[3] ?? "", headers, ...framing }
}

/** `__proto__` is not kept, and what every object has (`constructor`) is not taken for a header. */
function add(headers: Record<string, string>, name: string, value: string, between: string): void {
  const before = headers[name]
  headers[name] = typeof before === "string" ? before + between + value : value
}

/** RFC 9112, 6.3: the body's length, and whether the connection is good for more. */
function framingOf(
  status: number,
  headers: Readonly<Record<string, string>>,
  modern: boolean,
): Pick<AnswerHead, "framing" | "persistent"> | AnswerFault {
  const persistent = modern && !hasToken(headers.connection, "close")
  if (status < 200 || status === 204 || status === 304) return { framing: noBody, persistent }
  const codings = headers["transfer-encoding"]
  const length = headers["content-length"]
  if (codings !== undefined) {
    // An answer that says both is not to be trusted with what follows it.
    const chunked = /(?:^|,)[ \t]*chunked$/i.test(codings)
    return chunked && modern
      ? { framing: { kind: "chunked" }, persistent: persistent && length === undefined }
      : { framing: untilClose, persistent: false }
  }
  if (length === undefined) return { framing: untilClose, persistent: false }
  const bytes = lengthOf(length)
  return bytes === undefined
    ? { fault: "its content-length is no number of bytes" }
    : { framing: { kind: "length", bytes }, persistent }
}

/** A length may be said twice, where it is the same. */
function lengthOf(text: string): number | undefined {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  const [first, ...more] = text.split(",").map(withoutBlanks)
  return /^\d{1,15}$/.test(first!) && more.every((part) => part === first) ? Number(first) : undefined
}

function hasToken(list: string | undefined, token: string): boolean {
  if (list === undefined) return false
  return list === token || list.split(",").some((part) => part.trim().toLowerCase() === token)
}
