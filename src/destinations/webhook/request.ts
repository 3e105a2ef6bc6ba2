import type { EncodedRequest } from "./encode.ts"

type Method = "POST" | "OPTIONS"

/** A body up to this size is copied beside its head, so that both are one write. */
const copiedBytesMax = 16_384
/** What must not be in a value, or it would end its line. */
const valueFault = /[^\t\x20-\x7e\x80-\xff]/

/** Makes a request's bytes of its headers and body. Throws RangeError for a value that no header may hold. */
export type Frame = (request: EncodedRequest) => readonly Uint8Array[]

/** What each request to `url` begins with. */
export function requestBegin(url: URL, method: Method = "POST"): string {
  return `${method} ${url.pathname}${url.search} HTTP/1.1\r\nhost: ${url.host}\r\nconnection: keep-alive\r\n`
}

/** The bytes of a request's head, the empty line included. */
export function headBytes(begin: string, { headers, body }: EncodedRequest): number {
  const between = ": \r\n".length
  let bytes = begin.length + `content-length: ${body?.length ?? 0}\r\n\r\n`.length + (headers.length / 2) * between
  for (const text of headers) bytes += text.length
  return bytes
}

/** POSTs to `url`, or asks it for its options, over HTTP/1.1 on connections that are kept. */
export function createFrame(url: URL, method?: Method): Frame {
  const begin = requestBegin(url, method)
  return ({ headers, body }) => {
    let text = begin
    for (let i = 0; i < headers.length; i += 2) {
      const value = headers[i + 1]!
      if (valueFault.test(value)) throw new RangeError(`the header ${headers[i]} holds a character that none may hold`)
      text += `${headers[i]}: ${value}\r\n`
    }
    const length = body?.length ?? 0
    text += `content-length: ${length}\r\n\r\n`
    if (body === null || length === 0) return [Buffer.from(text, "latin1")]
    if (length > copiedBytesMax) return [Buffer.from(text, "latin1"), body]
    const bytes = Buffer.allocUnsafe(text.length + length)
    bytes.write(text, "latin1")
    bytes.set(body, text.length)
    return [bytes]
  }
}
