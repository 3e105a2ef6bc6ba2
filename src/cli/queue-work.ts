import { spawn } from "node:child_process"
import { setTimeout as wait } from "node:timers/promises"
import { parseDuration } from "../config/quantities.ts"
import type { CommonOptions, Context } from "./command.ts"
import { ProblemError, UnreachableError } from "./failures.ts"
import type { Hub } from "./hub.ts"
import { leaseFrom, queuePath, type Work, type WorkItem } from "./queue-calls.ts"
import { printable, type Terminal } from "./terminal.ts"

/** A command exits with it for what may work later (EX_TEMPFAIL of sysexits). */
const tryLater = 75
const restMs = 2_000

interface Working {
  readonly hub: Hub
  readonly queue: string
  readonly work: Work
  readonly terminal: Terminal
  readonly stop: AbortSignal
  left: number
}

/** Runs the command for each delivery, until it is told to stop. What is under way then comes to its end. */
export async function workOn(context: Context, queue: string, options: CommonOptions & Work): Promise<void> {
  const { terminal } = context
  const stop = terminal.interrupted()
  const hub = context.hub(options)
  const working: Working = { hub, queue, work: options, terminal, stop, left: options.limit ?? Number.MAX_SAFE_INTEGER }
  await Promise.all(Array.from({ length: options.concurrency }, () => workUntilOver(working)))
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

function mayPass(error: unknown): boolean {
  return error instanceof UnreachableError || (error instanceof ProblemError && error.problem.status === 503)
}

async function workOnOne(working: Working, item: WorkItem): Promise<void> {
  const { hub, queue, work, terminal } = working
  const path = queuePath(queue)
  const everyMs = Math.max(50, (parseDuration(work.lease) as number) / 2)
  const extending = setInterval(() => {
    const json = { leases: [item.lease], by: work.lease }
    hub.json("POST", `${path}/extend`, { json }).catch(() => undefined)
  }, everyMs)
  const code = await run(work.exec, item, terminal).finally(() => clearInterval(extending))
  const json = { settlements: [{ lease: item.lease, ...resultOf(code, work) }] }
  const { items } = await hub.json<{ items: readonly { state: string }[] }>("POST", `${path}/settle`, { json })
  const { state } = items[0]!
  const outcome = code === 0 ? "done" : `exit ${code}`
  const heard = state === "settled" ? "" : `, which the hub did not take: its lease is ${state}`
  terminal.err(`${printable(`${item.event.type} ${item.event.id}`)}, attempt ${item.attempt}: ${outcome}${heard}\n`)
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
