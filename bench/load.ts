import { connect, type Socket } from "node:net"

export interface LoadOptions {
  readonly port: number
  readonly connections: number
  readonly durationMs: number
  /** The next request, whole. */
  next(): Buffer
  /** Requests per second over all connections; absent: as fast as they are answered. */
  readonly ratePerSecond?: number
}

export interface LoadResult {
  readonly perSecond: number
  readonly answered: number
  /** Answers that were not 2xx. */
  readonly refused: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** HTTP/1.1 over bare sockets, one request in flight on each: costs a fraction of any server under test. */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const tally = { latencies: [] as number[], refused: 0, over: false }
  const clients = await Promise.all(Array.from({ length: options.connections }, () => open(options.port)))
  const startedAt = performance.now()
  const pace = options.ratePerSecond === undefined ? undefined : pacer(options.ratePerSecond, startedAt)
  const done = Promise.all(clients.map((socket) => drive(socket, options, tally, pace)))
  await new Promise((resolve) => setTimeout(resolve, options.durationMs))
  tally.over = true
  const elapsedMs = performance.now() - startedAt
  const answered = tally.latencies.length
  await done
  const sorted = tally.latencies.toSorted((a, b) => a - b)
  return {
    perSecond: (answered / elapsedMs) * 1000,
    answered,
    refused: tally.refused,
    p50Ms: quantile(sorted, 0.5),
    p99Ms: quantile(sorted, 0.99),
  }
}

/** Of numbers in order; 0 where there is none. */
export function quantile(sorted: readonly number[], part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0
}

export function median(numbers: readonly number[]): number {
  return quantile(
    numbers.toSorted((a, b) => a - b),
    0.5,
  )
}

type Pace = () => Promise<void> | undefined

function pacer(perSecond: number, startedAt: number): Pace {
  let sent = 0
  return () => {
    const dueIn = startedAt + (sent++ * 1000) / perSecond - performance.now()
    return dueIn <= 0 ? undefined : new Promise((resolve) => setTimeout(resolve, dueIn))
  }
}

function open(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true }, () => resolve(socket))
    socket.once("error", reject)
  })
}

function drive(
  socket: Socket,
  options: LoadOptions,
  tally: { latencies: number[]; refused: number; over: boolean },
  pace: Pace | undefined,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let sentAt = 0
    let held: Buffer | undefined
    const send = async () => {
      await pace?.()
      if (tally.over) return end()
      sentAt = performance.now()
      socket.write(options.next())
    }
    const end = () => {
      socket.destroy()
      resolve()
    }
    socket.on("data", (chunk) => {
      const text = held === undefined ? chunk : Buffer.concat([held, chunk])
      const whole = isWhole(text)
      held = whole ? undefined : text
      if (!whole) return
      tally.latencies.push(performance.now() - sentAt)
      if (text[9] !== 0x32) tally.refused++
      if (tally.over) end()
      else void send()
    })
    socket.on("error", reject)
    socket.on("close", () => resolve())
    void send()
  })
}

const headEnd = Buffer.from("\r\n\r\n")
const lengthName = /\r\ncontent-length: *(\d+)/i

/** Whether an answer has come to its end. */
export function isWhole(text: Buffer): boolean {
  const end = text.indexOf(headEnd)
  if (end < 0) return false
  const head = text.toString("latin1", 0, end)
  const length = lengthName.exec(head)?.[1]
  if (length !== undefined) return text.length >= end + 4 + Number(length)
  return text.subarray(-5).equals(Buffer.from("0\r\n\r\n"))
}
