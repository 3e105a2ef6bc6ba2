import { createHmac, timingSafeEqual } from "node:crypto"
import { once } from "node:events"
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { type Behaviour, deliveredBody, eventOfId } from "./workload.ts"

/** A delivery as it came. */
export interface Arrival {
  readonly trigger: string
  /** The event's, as `ce-id` says it. */
  readonly id: string
  /** The event's, out of the delivery's id. */
  readonly cursor: string
  /** When, in milliseconds of performance.now(). */
  readonly at: number
  /** Whether it was answered 2xx. */
  readonly taken: boolean
  /** What is not as it has to be; undefined where all is well. */
  readonly wrong: string | undefined
}

/** A webhook that holds what comes against what was published. Each of its paths is a trigger. */
export interface Receiver {
  readonly port: number
  /** Since the last {@link begin}. */
  readonly arrivals: readonly Arrival[]
  /** Forgets what came; from now on `answer` says how each trigger is answered, and `secrets` how it is signed. */
  begin(answer: (trigger: string) => Behaviour, secrets: Readonly<Record<string, string>>): void
  /** Resolves when it holds, which is asked at each arrival; answers false where nothing came for `stallMs`. */
  until(condition: () => boolean, stallMs: number): Promise<boolean>
  close(): Promise<void>
}

/** None that says that the destination is down, which would keep the rest from being tried. */
const statuses: Readonly<Record<Behaviour, number>> = { takes: 204, fails: 409, refuses: 422 }

/** `port`: 0 takes any free one. */
export async function startReceiver(port: number): Promise<Receiver> {
  const arrivals: Arrival[] = []
  const waiting = new Set<() => void>()
  const now: { answer: (trigger: string) => Behaviour; secrets: Readonly<Record<string, string>> } = {
    answer: () => "fails",
    secrets: {},
  }
  const server = createServer(async (request: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const trigger = request.url!.slice(1)
    const status = statuses[now.answer(trigger)]
    arrivals.push({
      trigger,
      id: String(request.headers["ce-id"]),
      cursor: String(request.headers["webhook-id"]).slice(0, 11),
      at: performance.now(),
      taken: status < 300,
      wrong: whatIsWrong(request.headers, Buffer.concat(chunks), now.secrets[trigger]),
    })
    response.writeHead(status).end()
    for (const look of waiting) look()
  })
  server.listen(port, "127.0.0.1")
  await once(server, "listening")
  return {
    port: (server.address() as AddressInfo).port,
    arrivals,
    begin(answer, secrets) {
      arrivals.length = 0
      Object.assign(now, { answer, secrets })
    },
    until: (condition, stallMs) => untilLooked(waiting, condition, stallMs),
    async close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

function untilLooked(waiting: Set<() => void>, condition: () => boolean, stallMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (held: boolean) => {
      clearTimeout(timer)
      waiting.delete(look)
      resolve(held)
    }
    const timer = setTimeout(() => end(false), stallMs)
    const look = () => (condition() ? end(true) : void timer.refresh())
    waiting.add(look)
    look()
  })
}

function whatIsWrong(headers: IncomingHttpHeaders, body: Buffer, secret: string | undefined): string | undefined {
  const event = eventOfId(String(headers["ce-id"]))
  if (event === undefined) return "an event that nobody published"
  if (headers["ce-source"] !== event.source || headers["ce-type"] !== event.type) return "another source or type"
  if (!body.equals(deliveredBody(event))) return `another body, of ${body.length} bytes`
  return secret === undefined || isSigned(headers, body, secret) ? undefined : "a wrong signature"
}

function isSigned(headers: IncomingHttpHeaders, body: Buffer, secret: string): boolean {
  const key = Buffer.from(secret.replace("whsec_", ""), "base64")
  const text = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`
  const right = Buffer.from(`v1,${createHmac("sha256", key).update(text).update(body).digest("base64")}`)
  const given = Buffer.from(String(headers["webhook-signature"]))
  return given.length === right.length && timingSafeEqual(given, right)
}
