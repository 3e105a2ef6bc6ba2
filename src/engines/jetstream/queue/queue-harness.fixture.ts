import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { NatsConnection } from "@nats-io/nats-core"
import { connect } from "@nats-io/transport-node"
import type { Clock } from "../../../core/clock.ts"
import type { Cursor } from "../../../core/cursor.ts"
import type { Logger } from "../../../core/logger.ts"
import type { DeliveryQueue } from "../../../core/queue.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { createSimulatedClock, mortalClock, quiesce } from "../../../testing/clock.ts"
import type { Harness } from "../../conformance/harness.ts"
import type { QueueUnderTest } from "../../conformance/queue-fixture.ts"
import { createNames, type Names } from "../names.ts"
import { Member, TestAssignments } from "./assignments.fixture.ts"
import { type JetStreamQueue, type JetStreamQueueOptions, openJetStreamQueue } from "./queue.ts"

const quiet: Logger = { info() {}, warn() {}, error() {} }

/** A cursor as the engine makes them: of partition 0. */
export function cursorAt(sequence: number): Cursor {
  return `g0${sequence.toString(36).padStart(9, "0")}` as Cursor
}

/** One process: its connection, what it is given of the assignments, its queue. */
export interface TestProcess {
  readonly nats: NatsConnection
  readonly member: Member
  readonly queue: JetStreamQueue
  /** Everything that it was told to write is written. */
  written(): Promise<void>
  close(): Promise<void>
  /** As kill -9: nothing is said to anybody. */
  die(): Promise<void>
}

/** Processes of one hub on one server, with streams of their own. */
export class TestHub {
  readonly names: Names
  readonly assignments = new TestAssignments()
  readonly #url: string
  readonly #shards: number
  readonly #directory = mkdtempSync(join(tmpdir(), "redcar-shards-"))
  readonly #all: TestProcess[] = []
  #lives = 0

  constructor(url: string, prefix: string, shards: number) {
    this.names = createNames(prefix)
    this.#url = url
    this.#shards = shards
  }

  /** Starts a process; `given`: it is given all assignments, and whoever had them before is told nothing. */
  async start(
    clock: Clock,
    given: boolean,
    options: Partial<JetStreamQueueOptions> = {},
    wrap = (nats: NatsConnection) => nats,
  ): Promise<TestProcess> {
    const servers = this.#url.split(",")
    const nats = wrap(await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 50 }))
    const member = new Member()
    if (given) for (let number = 0; number < this.#shards; number++) this.assignments.seize(number, member)
    const directory = join(this.#directory, String(++this.#lives))
    const base = {
      nats,
      names: this.names,
      shards: this.#shards,
      replicas: 1,
      assignments: member,
      serve: given,
      directory,
    }
    const queue = await openJetStreamQueue({ ...base, pendingBytesMax: 16 << 20, clock, log: quiet, ...options })
    const process: TestProcess = {
      nats,
      member,
      queue,
      written: () => queue.forget("nobody"),
      async close() {
        await queue.close()
        await nats.close()
      },
      async die() {
        await nats.close()
        await queue.close()
      },
    }
    this.#all.push(process)
    return process
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#all.map((process) => process.close()))
    const nats = await connect({ servers: this.#url.split(",") })
    for (let number = 0; number < this.#shards; number++) {
      await nats.request(`$JS.API.STREAM.DELETE.${this.names.queueStream(number)}`, "", { timeout: 5_000 })
    }
    await nats.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** A queue whose shards are all in one process, and which asks them from another one for all that can be asked from there. */
export function splitQueue(holder: JetStreamQueue, asker: JetStreamQueue): DeliveryQueue {
  const here = ["lanes", "reportBy"]
  const anywhere = ["lease", "extend", "end"]
  return new Proxy(asker, {
    get(_, name) {
      const queue = here.includes(String(name)) ? holder : anywhere.includes(String(name)) ? asker.anywhere : asker
      const member: unknown = Reflect.get(queue, name)
      return typeof member === "function" ? member.bind(queue) : member
    },
  })
}

/**
 * All shards in one process, which keeps time by a simulated clock. A crash cuts its connection, and stops its clock.
 * `remote`: what is asked comes from another process.
 */
export async function shardedHarness(
  url: string,
  prefix: string,
  shards: number,
  { remote = false, replicas = 1 }: { readonly remote?: boolean; readonly replicas?: number } = {},
): Promise<Harness<QueueUnderTest>> {
  const hub = new TestHub(url, prefix, shards)
  const clock = createSimulatedClock(1_700_000_000_000)
  let life = mortalClock(clock)
  let current: TestProcess | undefined
  let asker: TestProcess | undefined
  let last = 0
  const cursors = async (count: number) => Array.from({ length: count }, () => cursorAt(++last))
  const start = async () => {
    life = mortalClock(clock)
    current = await hub.start(life.clock, true, { replicas })
    if (!remote) return { queue: current.queue, cursors }
    asker = await hub.start(life.clock, false, { replicas })
    return { queue: splitQueue(current.queue, asker.queue), cursors }
  }
  return {
    async open() {
      // Servers that are several need a while to agree on new streams, and simulated time stands still meanwhile.
      if (replicas > 1) await (await hub.start(systemClock, true, { replicas })).close()
      return start()
    },
    async elapse(ms) {
      await clock.advance(ms)
      // Writing keeps no simulated time: what came due may have been written after its moment had passed.
      for (let i = 0; i < 3; i++) {
        await current?.written()
        await clock.advance(0)
      }
    },
    async crash() {
      life.stop()
      await quiesce()
      await Promise.all([current?.die(), asker?.die()])
      return start()
    },
    async dispose() {
      await asker?.close()
      await current?.close()
      life.stop()
      await hub.dispose()
    },
  }
}
