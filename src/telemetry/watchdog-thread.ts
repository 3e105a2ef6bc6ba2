/*
 * A worker that looks whether the main thread's beats go on. Where they do not, it asks that thread, which cannot say it
 * itself, what it is doing, and writes the log line at once: a loop without an end never comes to it.
 */
import type { Debugger, InspectorNotification, Session } from "node:inspector"
import { workerData } from "node:worker_threads"
import { blockedMs, checkMs, type WatchdogData } from "./watchdog-data.ts"

/** A thread that is in native code has no place in JavaScript; it is not waited for longer. */
const stackWithinMs = 2_000
const framesMax = 30

const { beats, log } = workerData as WatchdogData
const seen = { last: 0, missed: 0 }

setInterval(() => {
  const now = Atomics.load(beats, 0)
  seen.missed = now === seen.last ? seen.missed + 1 : 0
  seen.last = now
  // Its own ticks are what is counted: a process that was stopped as a whole has missed nothing.
  if (now === 0 || seen.missed * checkMs !== blockedMs) return
  Atomics.add(beats, 1, 1)
  void tell()
}, checkMs)

/** What it needs for that is loaded only now: 20 MB that most processes never want. */
async function tell(): Promise<void> {
  const { Session } = await import("node:inspector")
  const stack = await stackOfMain(new Session())
  const { openLog } = await import("./log.ts")
  const lines = await openLog(log)
  lines.warn({ blockedMs, stack }, "the event loop is blocked: nothing else is served until this is over")
}

function stackOfMain(session: Session): Promise<readonly string[]> {
  session.connectToMainThread()
  const files = new Map<string, string>()
  return new Promise((resolve) => {
    const end = (stack: readonly string[]) => {
      clearTimeout(timer)
      session.post("Debugger.disable")
      session.disconnect()
      resolve(stack)
    }
    const timer = setTimeout(() => end(["not in JavaScript"]), stackWithinMs)
    session.on("Debugger.scriptParsed", ({ params }: InspectorNotification<Debugger.ScriptParsedEventDataType>) => {
      files.set(params.scriptId, params.url)
    })
    session.on("Debugger.paused", ({ params }: InspectorNotification<Debugger.PausedEventDataType>) => {
      session.post("Debugger.resume")
      end(params.callFrames.slice(0, framesMax).map((frame) => frameText(frame, files)))
    })
    session.post("Debugger.enable")
    session.post("Debugger.pause")
  })
}

function frameText({ functionName, location }: Debugger.CallFrame, files: ReadonlyMap<string, string>): string {
  const { scriptId, lineNumber, columnNumber = 0 } = location
  return `${functionName || "(anonymous)"} ${files.get(scriptId)}:${lineNumber + 1}:${columnNumber + 1}`
}
