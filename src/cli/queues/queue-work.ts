import { spawn } from "node:child_process"
import { setTimeout as wait } from "node:timers/promises"
import { parseDuration } from "../../config/quantities.ts"
import type { CommonOptions, Context } from "../command.ts"
import { mayPass, UnreachableError } from "../failures.ts"
import type { Hub } from "../hub.ts"
import { printable, type Terminal } from "../terminal.ts"
import { leaseFrom, queuePath, type Work, type WorkItem } from "./queue-calls.ts"

/** A command exits with it for what may work later (EX_TEMPFAIL of sysexits). */
const tryLater = 75
const restMs = 2_000
const restMinMs = 100

interface Working {
  readonly hub: Hub
  readonly queue: string
  readonly work: Work
  readonly terminal: Terminal
  /** Aborts when nothing more is to be begun. */
  readonly stop: AbortSignal
  left: number
}

/**
 * Runs the command for each delivery, until it is told to stop or cannot go on. What is under way then comes to its end. Throws
 * why it could not go on.
 */
export async function workOn(context: Context, queue: string, options: CommonOptions & Work): Promise<void> {
  const { terminal } = context
  const failed = new AbortController()
  const stop = AbortSignal.any([terminal.interrupted(), failed.signal])
  const hub = context.hub(options)
  const working: Working = { hub, queue, work: options, terminal, stop, left: options.limit ?? Number.MAX_SAFE_INTEGER }
  const workers = Array.from({ length: options.concurrency }, () => workUntilOver(working))
  await Promise.all(workers.map((worker) => worker.catch((error: unknown) => failed.abort(error))))
  if (failed.signal.aborted) throw failed.signal.reason
}

async function workUntilOver(working: Working): Promise<void> {
  const { work, stop } = working
  while (!stop.aborted && working.left > 0) {
    working.left--
    const item = await nextOf(working)
    if (item !== undefined) await workOnOne(working, item)
    else if (!work.wait) return
    else working.left++
  }
}

/** Undefined: none came; a hub that is away for a while is asked again. */
async function nextOf({ hub, queue, work, stop, terminal }: Working): Promise<WorkItem | undefined> {
  try {
    const asked = { max: 1, lease: work.lease, ...(work.wait && { waitFor: "20s" }) }
    return (await leaseFrom(hub, queue, asked, stop))[0]
  } catch (error) {
    if (stop.aborted) return undefined
    if (!work.wait || !mayPass(error)) throw error
    terminal.err(`${(error as Error).message}; asking again\n`)
    await wait(restMs, undefined, { signal: stop }).catch(() => undefined)
    return undefined
  }
}

async function workOnOne(working: Working, item: WorkItem): Promise<void> {
  const { work, terminal } = working
  const { event, attempt } = item
  const held = hold(working, item)
  try {
    const code = await run(work.exec, item, terminal)
    const outcome = code === 0 ? "done" : `exit ${code}`
    const tell = (heard: string) =>
      terminal.err(`${printable(`${event.type} ${event.id}`)}, attempt ${attempt}: ${outcome}${heard}\n`)
    try {
      tell(await settle(working, { lease: item.lease, ...resultOf(code, work) }, held))
    } catch (error) {
      tell(`, which could not be settled: ${(error as Error).message}`)
      if (!mayPass(error)) throw error
    }
  } finally {
    held.letGo()
  }
}

/** A lease that is made longer until it is let go. */
interface Held {
  /** Whether it does, as far as is known here. */
  lives(): boolean
  letGo(): void
}

function hold({ hub, queue, work }: Working, { lease, expiresAt }: WorkItem): Held {
  if (expiresAt === undefined) return { lives: () => true, letGo: () => undefined }
  const leaseMs = parseDuration(work.lease) as number
  const json = { leases: [lease], by: work.lease }
  let until = performance.now() + leaseMs
  const extend = async () => {
    const asked = performance.now()
    const { items } = await hub.json<Answers>("POST", `${queuePath(queue)}/extend`, { json })
    if (items[0]?.state === "extended") until = asked + leaseMs
  }
  const extending = setInterval(() => void extend().catch(() => undefined), Math.max(50, leaseMs / 3))
  return { lives: () => performance.now() < until, letGo: () => clearInterval(extending) }
}

interface Answers {
  readonly items: readonly { readonly state: string }[]
}

/**
 * Asks again while the lease lives, where that may help. Answers what to say of it: nothing where the hub has taken it. Throws
 * what the hub answers at last, or that it does not.
 */
async function settle({ hub, queue, terminal }: Working, settlement: object, held: Held): Promise<string> {
  const request = { json: { settlements: [settlement] } }
  let isUnheard = false
  // Ends: with an answer that asking again does not change, or with the lease.
  for (let delayMs = restMinMs; ; delayMs = Math.min(2 * delayMs, restMs)) {
    let why = "the hub failed to settle it"
    try {
      const state = (await hub.json<Answers>("POST", `${queuePath(queue)}/settle`, request)).items[0]?.state
      if (state === "settled") return ""
      const taken = isUnheard ? "may have taken without its answer being heard" : "did not take"
      if (state !== "failed" || !held.lives()) return `, which the hub ${taken}: its lease is ${state}`
    } catch (error) {
      if (!mayPass(error) || !held.lives()) throw error
      isUnheard ||= error instanceof UnreachableError
      why = (error as Error).message
    }
    if (delayMs === restMinMs) terminal.err(`${why}; asking again\n`)
    await wait(delayMs)
  }
}

function resultOf(code: number, { retryAfter }: Work): object {
  if (code === 0) return { result: "done" }
  const retry = { result: "retry", reason: `the worker's command ended with ${code}` }
  return code === tryLater ? { ...retry, after: retryAfter } : retry
}

/** Answers the command's exit code; as shells do, 128 and more where it was killed. */
function run(command: string, item: WorkItem, terminal: Terminal): Promise<number> {
  const { delivery, attempt, topic, cursor, event } = item
  const env = {
    ...terminal.env,
    REDCAR_DELIVERY: delivery,
    REDCAR_ATTEMPT: String(attempt),
    REDCAR_TOPIC: topic,
    REDCAR_CURSOR: cursor,
  }
  return new Promise((resolve, reject) => {
    // A group of its own: Ctrl-C stops the worker, and lets what it has begun come to its end.
    const child = spawn("/bin/sh", ["-c", command], { env, stdio: "pipe", detached: true })
    child.on("error", reject)
    child.on("close", (code, signal) => resolve(code ?? (signal === null ? 1 : 128)))
    child.stdout.setEncoding("utf8").on("data", (text: string) => void terminal.out(text))
    child.stderr.setEncoding("utf8").on("data", (text: string) => terminal.err(text))
    // Whoever does not read what it is about may end all the same.
    child.stdin.on("error", () => undefined)
    child.stdin.end(`${JSON.stringify(event)}\n`)
  })
}
