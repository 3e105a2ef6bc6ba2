import type { Share } from "../core/shares.ts"
import { type Router, type RouterOptions, startRouter } from "./router.ts"

/** The kind of share that lets a process route a partition. */
const shareKind = "route"

/** Routes the partitions of the log that come to be this process's, one router each, for as long as they are. */
export function startRouting(options: Omit<RouterOptions, "partition" | "fence" | "matcher">): Router {
  const stop = new AbortController()
  const routers = new Set<Router>()
  const serve = async (share: Share): Promise<void> => {
    const fence = { name: `${shareKind}/${share.number}`, epoch: share.epoch }
    const router = startRouter({ ...options, partition: share.number, fence })
    routers.add(router)
    const end = () => void router.stop()
    share.lost.addEventListener("abort", end, { once: true })
    stop.signal.addEventListener("abort", end, { once: true })
    if (share.lost.aborted || stop.signal.aborted) end()
    try {
      await router.done
    } finally {
      share.lost.removeEventListener("abort", end)
      stop.signal.removeEventListener("abort", end)
      routers.delete(router)
      await share.release()
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
  serve: (share: Share) => Promise<void>,
): Promise<void> {
  const serving = new Set<Promise<void>>()
  let failure: { readonly error: unknown } | undefined
  for await (const share of engine.shares.take(shareKind, engine.log.partitions, stop.signal)) {
    const one = serve(share)
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
