import { readFileSync } from "node:fs"
import { join } from "node:path"
import { isLoopbackHost } from "../config/addresses.ts"
import { nearest } from "../config/nearest.ts"
import { type Problem, ProblemError, UnreachableError, UsageError } from "./failures.ts"
import { noHub, noJson, pathTooMuch } from "./no-hub.ts"

/** What every command that talks to a hub takes. */
export interface HubOptions {
  /** Where the hub is. */
  readonly url?: string
  readonly key?: string
  readonly data?: string
}

export interface Query {
  readonly [name: string]: string | number | boolean | undefined
}

export interface HubRequest {
  readonly query?: Query
  /** Sent as JSON. */
  readonly json?: unknown
  /** Sent as it is, with `headers` naming what it is. */
  readonly body?: Uint8Array | string
  readonly headers?: Readonly<Record<string, string>>
  readonly signal?: AbortSignal
  /** How long the answer's headers may take; default 30 s. 0: for ever. */
  readonly timeoutMs?: number
}

/** A hub over HTTP. Every method throws ProblemError for an answer that is a problem, UnreachableError for none. */
export interface Hub {
  readonly url: string
  /** The response as it is, whatever its status. Throws only UnreachableError. */
  fetch(method: string, path: string, request?: HubRequest): Promise<Response>
  /** The response of a request that succeeded. */
  send(method: string, path: string, request?: HubRequest): Promise<Response>
  /** What a response that is no success comes to; reads it. */
  failure(response: Response): Promise<ProblemError | UnreachableError>
  /** The JSON of a response that succeeded; undefined where it is empty. */
  read<T>(response: Response): Promise<T>
  /** The JSON of the answer; undefined where it is empty. */
  json<T>(method: string, path: string, request?: HubRequest): Promise<T>
  /** The items of a paged list, page after page. */
  items<T>(path: string, query?: Query): AsyncIterable<T>
}

/** Where a hub is, and what opens it. */
export interface HubAddress {
  readonly url: string
  readonly key: string | undefined
  /** The key file that was, or would have been, read. */
  readonly keyFile: string
  /** Where the key came from, in words; for the doctor and for what a refusal says. */
  readonly keyFrom: string
}

const defaultUrl = "http://127.0.0.1:9000"

/**
 * Finds the hub: `--url`, REDCAR_URL, the default; and its key: `--key`, REDCAR_KEY, `<data>/admin.key`. The key file
 * is read for a hub on this machine, or where `--data` asks for it, so that no key goes to a stranger by accident.
 */
export function findHub(options: HubOptions, env: Readonly<Record<string, string | undefined>>): HubAddress {
  const url = normalUrl(options.url ?? env.REDCAR_URL ?? defaultUrl)
  const keyFile = join(options.data ?? env.REDCAR_DATA ?? "data", "admin.key")
  const found = (key: string | undefined, keyFrom: string): HubAddress => ({ url, key, keyFile, keyFrom })
  if (options.key !== undefined) return found(options.key, "--key")
  if (env.REDCAR_KEY !== undefined && env.REDCAR_KEY !== "") return found(env.REDCAR_KEY, "REDCAR_KEY")
  if (!isLoopbackHost(new URL(url).hostname) && options.data === undefined) {
    return found(undefined, "none: the key file is only read for a hub on this machine, or with --data")
  }
  const read = readKey(keyFile)
  return found(read, read === undefined ? `none: there is no ${keyFile}` : keyFile)
}

function normalUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw new UsageError(`${JSON.stringify(text)} is not a hub's URL`, [`Write it like ${defaultUrl}.`])
  }
  return `${url.origin}${url.pathname.replace(/\/+$/, "")}`
}

function readKey(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === "ENOENT" || code === "ENOTDIR") return undefined
    throw new UsageError(`the key file ${path} cannot be read (${code})`, [
      "Run this as the user that runs the hub, or give --key.",
    ])
  }
}

/** Opens nothing yet: the first request does. */
export function openHub(address: HubAddress): Hub {
  const send: Hub["send"] = async (method, path, request) => {
    const response = await exchange(address, method, path, request)
    if (response.ok) return response
    throw await problemError(response, address)
  }
  const read = async <T>(response: Response): Promise<T> => {
    const text = await readText(response, address)
    return (text === "" ? undefined : parseJson(text, response, address)) as T
  }
  const json = async <T>(method: string, path: string, request?: HubRequest): Promise<T> => {
    return read(await send(method, path, request))
  }
  return {
    url: address.url,
    fetch: (method, path, request) => exchange(address, method, path, request),
    send,
    failure: (response) => problemError(response, address),
    read,
    json,
    async *items<T>(path: string, query: Query = {}) {
      let pageToken: string | undefined
      // Ends: with the list: each page begins behind the last one.
      do {
        const page = await json<{ items: T[]; nextPageToken?: string }>("GET", path, {
          query: { pageSize: 200, ...query, pageToken },
        })
        yield* page.items
        pageToken = page.nextPageToken
      } while (pageToken !== undefined && pageToken !== "")
    },
  }
}

async function exchange(
  address: HubAddress,
  method: string,
  path: string,
  request: HubRequest = {},
): Promise<Response> {
  const url = new URL(address.url + path)
  for (const [name, value] of Object.entries(request.query ?? {})) {
    if (value !== undefined) url.searchParams.set(name, String(value))
  }
  const headers = new Headers(request.headers)
  if (address.key !== undefined) headers.set("authorization", `Bearer ${address.key}`)
  if (request.json !== undefined && !headers.has("content-type")) headers.set("content-type", "application/json")
  const body = request.json === undefined ? request.body : JSON.stringify(request.json)
  const tooLate = new AbortController()
  const timeoutMs = request.timeoutMs ?? 30_000
  const timer = timeoutMs > 0 ? setTimeout(() => tooLate.abort(), timeoutMs) : undefined
  const signal = request.signal === undefined ? tooLate.signal : AbortSignal.any([request.signal, tooLate.signal])
  try {
    return await fetch(url, {
      method,
      headers,
      signal,
      redirect: "manual",
      ...(body === undefined ? {} : { body }),
    })
  } catch (error) {
    if (request.signal?.aborted) throw error
    throw unreachable(
      address.url,
      tooLate.signal.aborted ? `it did not answer within ${timeoutMs / 1_000} s` : reason(error),
      error,
    )
  } finally {
    clearTimeout(timer)
  }
}

const closed = "it closed the connection"

/** What stands in the way, in words; fetch hides it in the cause. */
function reason(error: unknown): string {
  const cause = (error as { cause?: unknown }).cause ?? error
  const { code, message } = cause as NodeJS.ErrnoException
  if (code === "ECONNREFUSED") return "nothing listens there"
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "its name does not resolve"
  if (code === "ECONNRESET" || code === "UND_ERR_SOCKET") return closed
  if (/CERT|SELF_SIGNED|VERIFY_LEAF|ISSUER/.test(code ?? "")) return `its certificate is not trusted (${message})`
  return message ?? String(cause)
}

/** Whether what answers to TLS speaks none. */
function isPlain(error: unknown): boolean {
  const { code = "", message = "" } = ((error as { cause?: unknown }).cause ?? {}) as NodeJS.ErrnoException
  return code === "ERR_SSL_WRONG_VERSION_NUMBER" || /wrong version number|packet length too long/.test(message)
}

function unreachable(url: string, why: string, cause?: unknown): UnreachableError {
  if (isPlain(cause)) {
    const next = `Say so: --url ${url.replace("https:", "http:")}, or the variable REDCAR_URL`
    return new UnreachableError(`what answers at ${url} speaks no TLS`, [next], { cause })
  }
  const where = "Or say where it is: --url http://host:9000, or the variable REDCAR_URL"
  return new UnreachableError(`no hub answers at ${url}: ${why}`, [startingOne(url, why), where], { cause })
}

function startingOne(url: string, why: string): string {
  const { protocol, hostname, port } = new URL(url)
  if (why.startsWith("its certificate"))
    return "Name the certificate of who signed it in the variable NODE_EXTRA_CA_CERTS=<file>"
  if (!isLoopbackHost(hostname))
    return "See that it runs there, and listens for other machines: redcar serve --host 0.0.0.0"
  if (protocol === "http:" && why === closed) return `If it speaks TLS, say so: --url ${url.replace("http:", "https:")}`
  return `Start one here: redcar serve${port === "9000" || port === "" ? "" : ` --port ${port}`}`
}

async function readText(response: Response, address: HubAddress): Promise<string> {
  try {
    return await response.text()
  } catch (error) {
    throw unreachable(address.url, `its answer broke off (${reason(error)})`, error)
  }
}

function parseJson(text: string, response: Response, { url }: HubAddress): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw noJson(url, response)
  }
}

/** The problem of an answer that is one; undefined: no hub gave it. */
export async function problemOf(response: Response): Promise<Problem | undefined> {
  return problemIn(await response.text(), response.status)
}

function problemIn(text: string, status: number): Problem | undefined {
  try {
    const problem = JSON.parse(text) as Problem
    if (typeof problem.detail === "string" && typeof problem.code === "string") return { ...problem, status }
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
  }
  return undefined
}

async function problemError(response: Response, address: HubAddress): Promise<ProblemError | UnreachableError> {
  const { status, statusText } = response
  const text = await response.text()
  const problem = problemIn(text, status)
  const tooMuch = status === 404 ? pathTooMuch(address.url) : undefined
  if (tooMuch !== undefined) return tooMuch
  if (problem === undefined) return noHub(address.url, { status, statusText, text })
  const meant = await meantBy(problem, address)
  const next = problem.code === "held" ? [] : nextStep(response, address)
  return new ProblemError(problem, meant === undefined ? next : [`Did you mean ${meant}?`, ...next])
}

const listed = /there is no (topic|trigger|destination) "?([a-z0-9_-]{1,63})[":; ]/

/** The resource that was meant where there is none of the id that was given. */
async function meantBy(problem: Problem, address: HubAddress): Promise<string | undefined> {
  const text = [problem.detail, ...(problem.errors ?? []).map(({ message }) => message)].find((each) =>
    listed.test(each),
  )
  const [, name, id] = listed.exec(text ?? "") ?? []
  return name === undefined || id === undefined ? undefined : nearestId(openHub(address), `/v1/${name}s`, id)
}

/** Says where a topic is, or with `dryRun` would be, made that is not there, and another one of nearly its name is: a slip makes one too. */
export async function nearTopic(hub: Pick<Hub, "json">, topic: string, dryRun = false): Promise<string | undefined> {
  const id = topic.split(":", 1)[0]!
  if (!/^[a-z0-9_-]{1,50}$/.test(id)) return undefined
  try {
    await hub.json("GET", `/v1/topics/${id}`)
    return undefined
  } catch (error) {
    if (error instanceof UnreachableError) return undefined
    if (!(error instanceof ProblemError)) throw error
    if (error.problem.status !== 404) return undefined
  }
  const near = await nearestId(hub, "/v1/topics", id)
  const made = dryRun ? `There is no topic ${id} yet: it would be made` : `There was no topic ${id} yet: it is made now`
  return near && `${made}. Did you mean ${near}?\n`
}

/** The first ids of a list that are looked at. */
const idsMax = 1_000

/** The id of a list that is nearest to another; undefined where none is near, or where the list is not to be had. */
export async function nearestId(hub: Pick<Hub, "json">, path: string, id: string): Promise<string | undefined> {
  try {
    const page = await hub.json<{ items: { id: string }[] }>("GET", path, { query: { pageSize: idsMax } })
    const ids = page.items.map((item) => item.id)
    return nearest(id, ids, Math.max(1, Math.floor(id.length / 4)))
  } catch (error) {
    if (error instanceof ProblemError || error instanceof UnreachableError) return undefined
    throw error
  }
}

function nextStep(response: Response, address: HubAddress): readonly string[] {
  if (response.status === 401 && address.key === undefined) {
    return [
      `No key was sent (${address.keyFrom}).`,
      "Give one with --key or REDCAR_KEY, or say where the hub keeps its data: --data <directory>",
    ]
  }
  if (response.status === 401) {
    return [
      `It came from ${address.keyFrom}, and is not this hub's.`,
      "Give another with --key or REDCAR_KEY, or say where this hub keeps its data: --data <directory>",
    ]
  }
  if (response.status === 503) {
    const seconds = response.headers.get("retry-after")
    return [seconds === null ? "Try again in a moment." : `Try again in ${seconds} s.`]
  }
  if (response.status === 507) return ["Make room on the hub's disk, or shorten a topic's retention."]
  return []
}
