/** A structured JSON event of 300 bytes; `id` is 20 characters. `sentAt`, where given, opens its data. */
export function eventText(id: string, sentAt?: number): string {
  const stamp = sentAt === undefined ? "" : `"sentAt":${sentAt.toFixed(3)},`
  const head = `{"specversion":"1.0","id":"${id}","source":"/shop/eu","type":"order.created","time":"2026-01-01T00:00:00Z","datacontenttype":"application/json","data":{${stamp}"order":1234567,"total":99.95,"note":"`
  return `${head}${"x".repeat(Math.max(0, 300 - head.length - 3))}"}}`
}

/** Ids that no other call of this function answers. */
export function nextId(): () => string {
  const run = `${process.pid % 10_000}-${Math.floor(Math.random() * 36 ** 5)
    .toString(36)
    .padStart(5, "0")}-`.padEnd(11, "0")
  let n = 0
  return () => `${run}${String(n++).padStart(9, "0")}`
}

const types = {
  single: "application/cloudevents+json",
  ndjson: "application/x-ndjson",
  json: "application/cloudevents-batch+json",
}

export interface RequestOptions {
  readonly key: string
  readonly topic?: string
  readonly form?: keyof typeof types
  /** In one request; default 1. */
  readonly events?: number
  /** Whether data says when the request was made. */
  readonly stamped?: boolean
}

/** Whole publish requests, each with new ids. */
export function publishRequests(options: RequestOptions): () => Buffer {
  const { key, topic = "bench", form = "single", events = 1, stamped = false } = options
  const id = nextId()
  const head = `POST /v1/topics/${topic}/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${key}\r\nContent-Type: ${types[form]}\r\n`
  const now = () => (stamped ? performance.timeOrigin + performance.now() : undefined)
  return () => {
    const texts = Array.from({ length: events }, () => eventText(id(), now()))
    const body = form === "json" ? `[${texts.join(",")}]` : texts.join("\n")
    return Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n${body}`, "latin1")
  }
}
