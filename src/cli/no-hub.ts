import { UnreachableError } from "./failures.ts"

/** An answer that no hub gave. */
export interface ForeignAnswer {
  readonly status: number
  readonly statusText: string
  readonly text: string
}

/** What answers at a hub's URL is no hub, or a proxy whose hub does not answer: what it said, and what to do. */
export function noHub(url: string, answer: ForeignAnswer): UnreachableError {
  const { status, statusText, text } = answer
  const tls = `Say so: --url ${url.replace("http:", "https:")}, or the variable REDCAR_URL`
  if (/\bHTTPS\b/.test(text)) return new UnreachableError(`what answers at ${url} speaks TLS alone`, [tls])
  const said = /^[\x20-\x7e]{1,200}$/.test(text.trim()) && !text.includes("<") ? `: ${text.trim()}` : ""
  const answered = `${status} ${statusText}`.trimEnd() + said
  if (status >= 502 && status <= 504) {
    return new UnreachableError(`a proxy answers at ${url}, and no hub behind it: ${answered}`, [
      "See that the hub runs, and that the proxy sends to where it listens: docs/proxy.md",
    ])
  }
  if (status === 413) {
    const next = "Let it take 64 MiB, as docs/proxy.md says, or publish less at a time."
    return new UnreachableError(`a proxy at ${url} takes no body of this size: ${answered}`, [next])
  }
  return new UnreachableError(`what answers at ${url} is no Redcar hub: ${answered}`, [
    ...(status === 400 && url.startsWith("http:")
      ? [`If it speaks TLS, say so: --url ${url.replace("http:", "https:")}`]
      : []),
    where,
  ])
}

/** The same of an answer that says it succeeded. */
export function noJson(url: string, { status, statusText }: Response): UnreachableError {
  const said = `it answers ${status} ${statusText}`.trimEnd()
  return new UnreachableError(`what answers at ${url} is no Redcar hub: ${said}, but not with JSON`, [where])
}

const where = "Say where the hub is: --url http://host:9000, or the variable REDCAR_URL"

/** A path behind the hub's own URL that is in all that is asked already; undefined where there is none. */
export function pathTooMuch(url: string): UnreachableError | undefined {
  const base = url.replace(/\/v1(\/.*)?$/, "")
  if (base === url) return undefined
  return new UnreachableError(`${url} is no hub's URL: /v1 is the hub's own`, [`Leave that out: --url ${base}`])
}
