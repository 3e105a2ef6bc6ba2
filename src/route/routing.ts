import type { Assignment } from "../core/assignments.ts"
import { type Router, type RouterOptions, startRouter } from "./router.ts"

/** The kind of assignment that lets a process route a partition. */
const assignmentKind = "route"

/** Routes the partitions of the log that come to be this process's, one router each, for as long as they are. */
export function startRouting(options: Omit<RouterOptions, "partition" | "fence" | "matcher">): Router {
  const stop = new AbortController()
  const routers = new Set<Router>()
  const serve = async (assignment: Assignment): Promise<void> => {
    const fence = { name: `${assignmentKind}/${assignment.number}`, epoch: assignment.epoch }
    const router = startRouter({ ...options, partition: assignment.number, fence })
    routers.add(router)
    const end = () => void router.stop()
    assignment.lost.addEventListener("abort", end, { once: true })
    stop.signal.addEventListener("abort", end, { once: true })
    if (assignment.lost.aborted || stop.signal.aborted) end()
    try {
      await router.done
    } finally {
      assignment.lost.removeEventListener("abort", end)
      stop.signal.removeEventListener("abort", end)
      routers.delete(router)
      await assignment.release()
    }
  }
  const done = run(options, stop, serve)
  return {
    done,
    places: () => [...routers].flatMap((router) => router.places()),
    catching: () => [...routers].reduce((sum, router) => sum + router.catching(), 0),
    resting: () => [...routers].flatMap((router) => router.resting()),
    async stop() {
      stop.abort()
      await done.catch(() => {})
    },
  }
}

/** One router's bug ends all, as it would end the only one. */
async function run(
  { engine }: Pick<RouterOptions, "engine">,
  stop: AbortController,
  serve: (assignment: Assignment) => Promise<void>,
): Promise<void> {
  const serving = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  for await (const assignment of engine.assignments.take(assignmentKind, engine.log.partitions, stop.signal)) {
    const one = serve(assignment)
      .catch((error: unknown) => {
        failure ??= { error }
        stop.abort()
      })
      .finally(() => serving.delete(one))
    serving.add(one)
  }
  await Promise.all(serving)
  if (failure) throw failure.error
}
