import { setTimeout as wait } from "node:timers/promises"
import { type CommandError, FailedError, type Problem, ProblemError, UnreachableError } from "../failures.ts"
import { type Hub, problemOf } from "../hub.ts"
import type { Piece } from "../input.ts"

/** An event that the hub refused, and why. */
export interface Refusal {
  readonly place: number
  readonly id?: string
  readonly code: string
  readonly detail: string
}

/** What has become of a bulk input so far. */
export interface Tally {
  /** Events taken from the input, those skipped included. */
  taken: number
  stored: number
  duplicates: number
  refused: number
  /** The first refusals. */
  readonly refusals: Refusal[]
}

/** Refusals that are kept to be listed; the rest is counted. */
export const refusalsKeptMax = 1_000

const chunkEventsMax = 1_000
const chunkBytesMax = 2 ** 20
const overloadRetriesMax = 10

interface Result {
  readonly id?: string
  readonly cursor?: string
  readonly duplicate?: boolean
  readonly error?: { readonly code: string; readonly detail: string }
}

type Answer = { readonly results?: readonly Result[] } & Result

/** Uploads events in order, chunk by chunk; goes on past those that are refused. */
export class Uploader {
  readonly tally: Tally = { taken: 0, stored: 0, duplicates: 0, refused: 0, refusals: [] }
  readonly #hub: Hub
  readonly #path: string
  readonly #signal: AbortSignal

  constructor(hub: Hub, topic: string, signal: AbortSignal) {
    this.#hub = hub
    this.#path = `/v1/topics/${encodeURIComponent(topic)}/events`
    this.#signal = signal
  }

  /** Stores these. Throws FailedError or UnreachableError, with how to go on, where the hub takes no more. */
  async upload(pieces: readonly Piece[]): Promise<void> {
    for (const chunk of chunksOf(pieces)) {
      try {
        await this.#send(chunk)
      } catch (error) {
        throw this.#stopped(error)
      }
      this.tally.taken += chunk.length
    }
  }

  async #send(chunk: readonly Piece[]): Promise<void> {
    const response = await this.#accepted(chunk)
    if (response.ok) return this.#count(chunk, (await this.#hub.read<Answer>(response)) ?? {})
    const problem = await problemOf(response.clone())
    const results = problem?.results as readonly Result[] | undefined
    if (response.status === 400 && results !== undefined) return this.#count(chunk, { results })
    // Refused as a whole: one of them is to blame, or all are too many.
    const isRefused = response.status === 413 || (response.status === 400 && problem !== undefined)
    if (isRefused && chunk.length > 1) {
      const half = Math.ceil(chunk.length / 2)
      await this.#send(chunk.slice(0, half))
      return this.#send(chunk.slice(half))
    }
    if (isRefused && problem !== undefined) return this.#refuse(chunk[0]!, problem)
    throw await this.#hub.failure(response)
  }

  /** The answer, after waiting as long as the hub asks while it has too much to do. */
  async #accepted(chunk: readonly Piece[]): Promise<Response> {
    const body = Buffer.concat(chunk.flatMap(({ json }) => [json, newline]))
    const headers = { "content-type": "application/x-ndjson" }
    // Ends: after overloadRetriesMax.
    for (let retry = 0; ; retry++) {
      const response = await this.#hub.fetch("POST", this.#path, { body, headers, signal: this.#signal })
      if (response.status !== 503 || retry === overloadRetriesMax || (await isHeld(response))) return response
      await response.body?.cancel()
      const seconds = Number(response.headers.get("retry-after") ?? 1)
      await wait(Math.min(Number.isNaN(seconds) ? 1 : seconds, 30) * 1_000, undefined, { signal: this.#signal })
    }
  }

  #count(chunk: readonly Piece[], answer: Answer): void {
    // One event alone may be answered without a list.
    const results = answer.results ?? [answer]
    chunk.forEach((piece, i) => {
      const result = results[i]
      if (result?.error !== undefined) this.#refuse(piece, result.error, result.id)
      else if (result?.duplicate) this.tally.duplicates++
      else this.tally.stored++
    })
  }

  #refuse({ place }: Piece, { code, detail }: { readonly code: string; readonly detail: string }, id?: string): void {
    this.tally.refused++
    if (this.tally.refusals.length < refusalsKeptMax)
      this.tally.refusals.push({ place, ...(id === undefined ? {} : { id }), code, detail })
  }

  #stopped(error: unknown): unknown {
    const { taken } = this.tally
    const next = [
      `The first ${taken} events are done. Go on with them skipped: --skip ${taken}`,
      ...((error as CommandError).next ?? []),
    ]
    if (this.#signal.aborted) return new FailedError("interrupted", next)
    if (error instanceof UnreachableError) return new UnreachableError(error.message, next, { cause: error })
    if (error instanceof ProblemError)
      return new ProblemError(error.problem as Problem, taken === 0 ? error.next : next)
    return error
  }
}

/** It takes nothing however long one waits. */
async function isHeld(response: Response): Promise<boolean> {
  return (await problemOf(response.clone()))?.code === "held"
}

const newline = new Uint8Array([0x0a])

function* chunksOf(pieces: readonly Piece[]): Iterable<readonly Piece[]> {
  let chunk: Piece[] = []
  let bytes = 0
  for (const piece of pieces) {
    if (chunk.length > 0 && (chunk.length === chunkEventsMax || bytes + piece.json.length > chunkBytesMax)) {
      yield chunk
      chunk = []
      bytes = 0
    }
    chunk.push(piece)
    bytes += piece.json.length + 1
  }
  if (chunk.length > 0) yield chunk
}
