/** One server-sent event. */
export interface ServerSent {
  /** The id that a later request resumes after; the last one said. */
  readonly id: string
  readonly event: string
  readonly data: string
}

/** The events of a `text/event-stream`, as the HTML standard reads it; comments are left out. */
export async function* parseServerSent(body: AsyncIterable<Uint8Array>): AsyncIterable<ServerSent> {
  const decoder = new TextDecoder()
  let rest = ""
  let id = ""
  let event = ""
  let data: string[] = []
  for await (const part of body) {
    const lines = (rest + decoder.decode(part, { stream: true })).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop()!
    for (const line of lines) {
      if (line === "") {
        if (data.length > 0) yield { id, event: event || "message", data: data.join("\n") }
        event = ""
        data = []
        continue
      }
      const colon = line.indexOf(":")
      const field = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "")
      if (field === "data") data.push(value)
      else if (field === "event") event = value
      else if (field === "id" && !value.includes("\0")) id = value
    }
  }
}
