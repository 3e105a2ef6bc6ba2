import { isFull, isPassing } from "../reasons.ts"
import { asciiOf, type RawMessage, statusOf } from "./raw-message.ts"

/** What a server says of something published. */
export type Answer =
  | { readonly kind: "stored"; readonly sequence: number }
  | { readonly kind: "duplicate"; readonly sequence: number }
  /** Not stored, for a reason of its own: the server's number of it, and its words. */
  | { readonly kind: "refused"; readonly code: number; readonly why: string }
  /** Not stored: nobody is in charge, or too much is on its way. It may be stored when it is sent again. */
  | { readonly kind: "passing" }
  /** Nothing was heard: whether it is stored is not known. */
  | { readonly kind: "unanswered" }

export const passing: Answer = { kind: "passing" }
export const unanswered: Answer = { kind: "unanswered" }

/** Reads an answer; one that cannot be read leaves open what happened. */
export function answerOf({ header, data }: RawMessage): Answer {
  if (header !== undefined && statusOf(header) === 503) return passing
  const text = asciiOf(data)
  const at = text.lastIndexOf('"seq":')
  if (at > 0 && !text.includes('"error"')) {
    const sequence = Number.parseInt(text.slice(at + 6), 10)
    if (sequence > 0) return { kind: text.includes('"duplicate"', at) ? "duplicate" : "stored", sequence }
  }
  return refusalOf(text)
}

function refusalOf(text: string): Answer {
  try {
    const { error } = JSON.parse(text) as { error?: { code: number; err_code?: number; description?: string } }
    if (error === undefined) return unanswered
    const code = error.err_code ?? error.code
    if (isPassing(code) || (!isFull(code) && (error.code === 503 || error.code === 429))) return passing
    return { kind: "refused", code, why: error.description ?? "refused" }
  } catch {
    return unanswered
  }
}
