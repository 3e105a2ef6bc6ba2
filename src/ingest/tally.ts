import type { ServerResponse } from "node:http"
import { quoteJson } from "../formats/json-encode.ts"
import { answerJson, answerProblem, appendedJson, problemJsonOf } from "./answer.ts"
import type { Accepted } from "./delay.ts"
import { Refusal } from "./refusal.ts"

/** What becomes of the events of one request, by their place in it; makes the answer. */
export class Tally {
  readonly #results: string[] = []
  #accepted = 0
  #rejected = 0
  #bytes = 0
  /** Why events were not stored although they were valid. */
  #stopped: Refusal | undefined

  /** What the answer will have, about. */
  get bytes(): number {
    return this.#bytes
  }

  get rejected(): number {
    return this.#rejected
  }

  /** A place for the next event. */
  next(): number {
    return this.#results.push("") - 1
  }

  get length(): number {
    return this.#results.length
  }

  accept(index: number, id: string, accepted: Accepted): void {
    this.#set(index, appendedJson(id, accepted))
    this.#accepted++
  }

  refuse(index: number, id: string | undefined, refusal: Refusal): void {
    const { code, detail, more } = refusal
    const name = id === undefined ? "" : `,"id":${quoteJson(id)}`
    const errors = more.errors === undefined ? "" : `,"errors":${JSON.stringify(more.errors)}`
    this.#set(index, `{"index":${index}${name},"error":{"code":"${code}","detail":${quoteJson(detail)}${errors}}}`)
    this.#rejected++
  }

  #set(index: number, result: string): void {
    this.#results[index] = result
    this.#bytes += result.length
  }

  /** Valid events could not be stored: if none was, this is the answer. */
  stop(refusal: Refusal): void {
    this.#stopped ??= refusal
  }

  /** 202 when all are stored, 207 when some are, a problem when none is. */
  answer(res: ServerResponse): void {
    const results = this.#results.join(",")
    if (this.#rejected === 0 || this.#accepted > 0) {
      const body = `{"accepted":${this.#accepted},"rejected":${this.#rejected},"results":[${results}]}`
      answerJson(res, this.#rejected > 0 ? 207 : 202, body)
      return
    }
    const refusal = this.#stopped ?? new Refusal("invalid-argument", this.#noneDetail())
    answerProblem(res, refusal, problemJsonOf(refusal, results))
  }

  #noneDetail(): string {
    const events = this.#rejected === 1 ? "the event is not" : `none of the ${this.#rejected} events is`
    return `${events} stored; results says why of each`
  }
}
