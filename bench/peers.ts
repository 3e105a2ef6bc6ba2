import { median, quantile } from "./load.ts"
import { type Measure, measure, medianOf, type Scenario } from "./measure.ts"
import { keepOutstanding, keepRate } from "./outstanding.ts"
import { nats } from "./peers/nats.ts"
import { atOnce, type PeerKind } from "./peers/peer.ts"
import { postgres } from "./peers/postgres.ts"
import { rabbitmq } from "./peers/rabbitmq.ts"
import { redcar } from "./peers/redcar.ts"
import { redis } from "./peers/redis.ts"
import { type Running, startBaseline } from "./process.ts"

const ratePerSecond = 500

interface Job {
  /** Publishes that were acknowledged as durable, a second, with {@link atOnce} under way. */
  readonly accepted: number
  /** The same events, a second, until the last of them was received. */
  readonly endToEnd: number
  /** From publish to receipt at {@link ratePerSecond}, ms. */
  readonly p99: number
}

/**
 * The same job beside the hub's: single events, each durable before it is acknowledged, each signed and POSTed to one webhook,
 * with what there is on this machine. All in turn, each on an empty folder, with its worker in a process of its own.
 */
export const peers: Scenario = async function* ({ quick }) {
  const [rounds, durationMs] = quick ? [1, 3_000] : [3, 8_000]
  const kinds = [redcar, nats, redis, postgres, rabbitmq].filter(isHere)
  const jobs = new Map<PeerKind, Job[]>(kinds.map((kind) => [kind, []]))
  const receiver = await startBaseline("receiver.ts")
  try {
    for (let round = 0; round < rounds; round++) {
      for (const kind of kinds) jobs.get(kind)!.push(await run(kind, receiver, durationMs))
    }
  } finally {
    await receiver.stop()
  }
  for (const kind of kinds) yield* measures(kind.name, jobs.get(redcar)!, jobs.get(kind)!)
}

function isHere(kind: PeerKind): boolean {
  const version = kind.version()
  console.log(version === undefined ? `SKIPPED ${kind.name}: it is not on this machine` : `${kind.name}: ${version}`)
  return version !== undefined
}

function* measures(name: string, ours: readonly Job[], theirs: readonly Job[]): Iterable<Measure> {
  const [accepted, endToEnd] = ["accepted", "endToEnd"] as const
  for (const part of [accepted, endToEnd] as const) {
    const figure = medianOf(ours, (job) => job[part])
    yield measure(
      `peers, ${part === accepted ? part : "end to end"}, ${name}`,
      "events/s",
      figure,
      medianOf(theirs, (job) => job[part]),
    )
  }
  const p99 = median(ours.map((job) => job.p99))
  yield measure(
    `peers, publish to receipt at ${ratePerSecond}/s, p99, ${name}`,
    "ms",
    p99,
    medianOf(theirs, (job) => job.p99),
    true,
  )
}

async function run(kind: PeerKind, receiver: Running, durationMs: number): Promise<Job> {
  const peer = await kind.open(receiver.port)
  try {
    const publish = () => peer.publish(stamped())
    await keepOutstanding(8, 1_000, publish)
    await received(receiver, 1)
    await drained(receiver)
    const startedAt = performance.now()
    const { perSecond, count } = await keepOutstanding(atOnce, durationMs, publish)
    await received(receiver, count)
    const endToEnd = (count / (performance.now() - startedAt)) * 1_000
    const paced = await keepRate(ratePerSecond, durationMs, publish)
    const ages = await received(receiver, paced)
    const p99 = quantile(
      ages.toSorted((a, b) => a - b),
      0.99,
    )
    return { accepted: perSecond, endToEnd, p99 }
  } finally {
    await peer.stop()
  }
}

/** 300 bytes of JSON that say when they were made. */
function stamped(): Buffer {
  const begin = `{"sentAt":${(performance.timeOrigin + performance.now()).toFixed(3)},"order":1234567,"note":"`
  return Buffer.from(`${begin}${"x".repeat(298 - begin.length)}"}`)
}

/** Waits until so many have been received since the last call, and answers how old they were. */
async function received(receiver: Running, count: number): Promise<readonly number[]> {
  const ages: number[] = []
  const until = performance.now() + 120_000
  // Ends: after two minutes at the latest, by a throw.
  for (let seen = 0; seen < count; ) {
    await new Promise((resolve) => setTimeout(resolve, 20))
    const taken = (await (await fetch(`http://127.0.0.1:${receiver.port}/`)).json()) as {
      count: number
      ages: number[]
    }
    seen += taken.count
    ages.push(...taken.ages)
    if (performance.now() > until) throw new Error(`only ${seen} of ${count} events were received`)
  }
  return ages
}

/** Waits until nothing more is received. */
async function drained(receiver: Running): Promise<void> {
  // Ends: nothing is published meanwhile.
  for (let count = 1; count > 0; ) {
    await new Promise((resolve) => setTimeout(resolve, 300))
    count = ((await (await fetch(`http://127.0.0.1:${receiver.port}/`)).json()) as { count: number }).count
  }
}
