import type { NatsConnection } from "@nats-io/nats-core"

const listeners = new WeakMap<NatsConnection, Set<() => void>>()

/** Calls `run` each time that the connection, having been cut, is there again; the answer ends it. */
export function onReconnect(nats: NatsConnection, run: () => void): () => void {
  const known = listeners.get(nats)
  const runs = known ?? new Set()
  if (known === undefined) {
    listeners.set(nats, runs)
    void watch(nats, runs)
  }
  runs.add(run)
  return () => runs.delete(run)
}

async function watch(nats: NatsConnection, runs: ReadonlySet<() => void>): Promise<void> {
  for await (const { type } of nats.status()) {
    if (type !== "reconnect") continue
    for (const run of [...runs]) run()
  }
}
