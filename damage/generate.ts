import { randomBytes } from "node:crypto"
import { copyFile, mkdir, readdir, rm } from "node:fs/promises"
import { join } from "node:path"
import { createSimulatedChance, type SimulatedChance } from "../src/testing/chance.ts"
import { HubProcess } from "../src/testing/hub-process.ts"
import { publish, readLetters, readResources, readTopic, shortId } from "./client.ts"
import { type Acknowledged, type Oracle, type Snapshot, type Variant, writeOracle } from "./oracle.ts"
import type { Receiver } from "./receiver.ts"
import { type DamageEvent, eventOf, foreignFrom, topics, triggers, triggersOf, trimmedMax } from "./workload.ts"

/** Small files, so that few events fill several. */
export const hubFlags: readonly string[] = ["--limits-segment-bytes", "1MiB", "--limits-event-bytes-max", "256KiB"]
export const allRoles: readonly string[] = ["ingest", "route", "deliver", "api"]

/** Events until the folder is copied that is stale later, until the clean stop, and until the kill. */
const stages = { early: 250, clean: 600, killed: 1_100 }
const batchMax = 12
const publishersCount = 4
const settleMs = 30_000
/** Acknowledgements between the two copies of a folder that is copied under load, and before the kill. */
const betweenCopies = 40

/**
 * Makes a hub with a past in `folder`: its folder at several times, and what is known of it from outside. The receiver
 * is the one that its destinations point to for good.
 */
export async function generate(folder: string, seed: number, receiver: Receiver): Promise<Oracle> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const generation = new Generation(folder, seed, receiver)
  try {
    const oracle = await generation.run()
    await writeOracle(folder, oracle)
    return oracle
  } finally {
    await generation.close()
  }
}

/** Makes a folder of another hub in `folder`, whose events none of the trials' hubs has. */
export async function generateForeign(folder: string, receiver: Receiver): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  await mkdir(folder, { recursive: true })
  const generation = new Generation(folder, 0, receiver)
  try {
    await generation.runForeign()
  } finally {
    await generation.close()
  }
}

class Generation {
  readonly #folder: string
  readonly #chance: SimulatedChance
  readonly #receiver: Receiver
  readonly #key = `rck_${randomBytes(32).toString("base64url")}`
  readonly #hub: HubProcess
  readonly #sent: { number: number; at: number }[] = []
  readonly #acknowledged: Acknowledged[] = []
  readonly #waiting = new Set<() => void>()
  readonly #next: number[]
  #over = false
  #secrets: Record<string, string> = {}

  constructor(folder: string, seed: number, receiver: Receiver) {
    this.#folder = folder
    this.#chance = createSimulatedChance(`hub ${seed}`)
    this.#receiver = receiver
    this.#next = topics.map((_, i) => i)
    const [name, roles, key] = ["hub", allRoles, this.#key]
    this.#hub = new HubProcess({ name, roles, directory: folder, logDirectory: folder, key, flags: hubFlags })
  }

  async run(): Promise<Oracle> {
    await this.#begin()
    await this.#publishUntil(stages.early)
    await this.#settle()
    await this.#pause()
    await this.#hub.kill("SIGTERM")
    await this.#copy("early", "log", "state")
    await this.#hub.start()
    await this.#publishUntil(stages.clean)
    await this.#settle()
    const clean = await this.#look()
    await this.#hub.kill("SIGTERM")
    const at = performance.now()
    await this.#copy("clean", "log", "state")
    await this.#hub.start()
    const snapshots = {
      clean: { ...clean, logFrom: at, logUntil: at, doneFrom: at + settleMs, doneUntil: at },
      ...(await this.#live()),
    }
    const taken = this.#receiver.arrivals.filter((one) => one.taken)
    return {
      port: this.#receiver.port,
      key: this.#key,
      secrets: this.#secrets,
      sent: this.#sent,
      acknowledged: this.#acknowledged,
      taken: taken.map(({ trigger, id, at }) => ({ trigger, id, at })),
      waiting: this.#receiver.arrivals.filter(({ trigger }) => trigger === "later").map(({ id, at }) => ({ id, at })),
      own: this.#own,
      snapshots,
    }
  }

  async runForeign(): Promise<void> {
    this.#next.forEach((number, i) => {
      this.#next[i] = number + foreignFrom
    })
    await this.#begin()
    await this.#publishUntil(stages.clean)
    await this.#hub.kill("SIGTERM")
  }

  async close(): Promise<void> {
    this.#over = true
    await this.#hub.close()
  }

  #own: { cursor: string; delivery: string }[] = []

  async #begin(): Promise<void> {
    const behaviours = new Map(triggers.map(({ name, behaviour }) => [name, behaviour]))
    this.#receiver.begin((trigger) => behaviours.get(trigger) ?? "fails", {})
    await this.#hub.start()
    const hub = this.#hub
    for (const id of topics)
      await hub.call("POST", "/v1/topics", { id, ...(id === "trimmed" && { retention: { eventsMax: trimmedMax } }) })
    for (const { name, topic, half, behaviour, delay } of triggers) {
      const config = { url: `http://127.0.0.1:${this.#receiver.port}/${name}` }
      const made = await hub.call("POST", "/v1/destinations", { id: name, kind: "webhook", config })
      const { signingKeys } = (await made.json()) as { readonly signingKeys: readonly { readonly secret: string }[] }
      this.#secrets[name] = signingKeys[0]!.secret
      const retry = { delays: [delay], attemptsMax: behaviour === "refuses" ? 1 : 1_000, ageMax: "30d", jitter: 0 }
      const filters = half ? [{ exact: { type: "even" } }] : []
      await hub.call("POST", "/v1/triggers", { id: name, topic, filters, destination: name, retry })
    }
  }

  /** Resolves when so many events are acknowledged. */
  async #publishUntil(count: number): Promise<void> {
    const work = Array.from({ length: publishersCount }, async () => {
      while (this.#acknowledged.length < count) await this.#publishSome()
    })
    await Promise.all(work)
  }

  async #publishSome(): Promise<void> {
    const chance = this.#chance
    const events = this.#take(chance.happens(0.4) ? chance.between(2, batchMax) : 1)
    const at = performance.now()
    for (const { number } of events) this.#sent.push({ number, at })
    const stored = await publish(this.#hub, this.#key, events)
    const acknowledgedAt = performance.now()
    events.forEach(({ number }, i) => {
      this.#acknowledged.push({ number, cursor: stored[i]!.cursor, at: acknowledgedAt })
    })
    for (const look of this.#waiting) look()
  }

  /** The next events of one topic, at most `count`; one only where they have keys. */
  #take(count: number): readonly DamageEvent[] {
    const index = this.#chance.between(0, topics.length - 1)
    const taken: DamageEvent[] = []
    do {
      taken.push(eventOf(this.#next[index]!))
      this.#next[index]! += topics.length
    } while (taken.length < count && topics[index] !== "orders")
    return taken
  }

  /** Resolves when every delivery has had its first answer, and the letters of the dead are written. */
  async #settle(): Promise<void> {
    const due = this.#acknowledged.flatMap(({ number }) => {
      const event = eventOf(number)
      return triggersOf(event).map(({ name }) => ({ name, id: event.id }))
    })
    const isDue = ({ name }: { readonly name: string }) => name !== "held" || !this.#paused
    const come = () => new Set(this.#receiver.arrivals.map(({ trigger, id }) => `${trigger} ${id}`))
    const allCame = () => {
      const all = come()
      return due.filter(isDue).every(({ name, id }) => all.has(`${name} ${id}`))
    }
    if (!(await this.#receiver.until(allCame, settleMs))) throw new Error("deliveries of the hub have not come")
    const dying = due.filter(({ name }) => name === "dead").length
    const until = performance.now() + settleMs
    while ((await readLetters(this.#hub)).length < dying)
      if (performance.now() > until) throw new Error("dead letters of the hub are missing")
    // What was answered last is noted soon after.
    await new Promise((resolve) => setTimeout(resolve, 200))
  }

  #paused = false

  async #pause(): Promise<void> {
    for (const { name, paused } of triggers) if (paused) await this.#hub.call("POST", `/v1/triggers/${name}/pause`)
    this.#paused = true
  }

  async #look(): Promise<Pick<Snapshot, "resources" | "dead">> {
    const letters = await readLetters(this.#hub)
    return { resources: await readResources(this.#hub), dead: letters.map(({ id }) => id) }
  }

  /** Under load: two copies of the folder, then the kill. */
  async #live(): Promise<Record<Exclude<Variant, "clean">, Snapshot>> {
    const working = this.#publishWhileItLives()
    const logFirst = await this.#copyUnderLoad("log-first", "log", "state")
    const stateFirst = await this.#copyUnderLoad("state-first", "state", "log")
    await this.#acknowledgements(betweenCopies)
    for (const topic of ["redcar.attempts", "redcar.dead-letters"])
      for (const read of await readTopic(this.#hub, topic))
        this.#own.push({
          cursor: read.redcarcursor,
          delivery: shortId((read.data as { delivery?: string }).delivery ?? ""),
        })
    const known = await this.#look()
    await this.#acknowledgements(betweenCopies)
    this.#over = true
    const at = performance.now()
    await this.#hub.kill()
    const gone = performance.now()
    const killed = { ...known, logFrom: at, logUntil: gone, doneFrom: at, doneUntil: gone }
    await working
    await this.#copy("killed", "log", "state")
    return { "log-first": logFirst, "state-first": stateFirst, killed }
  }

  async #publishWhileItLives(): Promise<void> {
    const work = Array.from({ length: publishersCount }, async () => {
      while (!this.#over) {
        if (this.#acknowledged.length > stages.killed) await new Promise((resolve) => setTimeout(resolve, 20))
        await this.#publishSome().catch((error: unknown) => {
          if (!this.#over) throw error
        })
      }
    })
    await Promise.all(work)
  }

  async #copyUnderLoad(name: Variant, first: string, second: string): Promise<Snapshot> {
    await this.#acknowledgements(betweenCopies)
    const known = await this.#look()
    const times: Record<string, number> = {}
    const firstFrom = performance.now()
    await this.#copy(name, first)
    times[first] = performance.now()
    await this.#acknowledgements(betweenCopies)
    const secondFrom = performance.now()
    await this.#copy(name, second)
    times[second] = performance.now()
    const logFrom = first === "log" ? firstFrom : secondFrom
    return { ...known, logFrom, logUntil: times.log!, doneFrom: firstFrom, doneUntil: performance.now() }
  }

  /** Resolves when so many more events are acknowledged. */
  #acknowledgements(count: number): Promise<void> {
    const target = this.#acknowledged.length + count
    return new Promise((resolve) => {
      const look = () => {
        if (this.#acknowledged.length < target) return
        this.#waiting.delete(look)
        resolve()
      }
      this.#waiting.add(look)
    })
  }

  async #copy(name: string, ...parts: readonly string[]): Promise<void> {
    const [from, to] = [this.#hub.dataPath, join(this.#folder, name)]
    await mkdir(to, { recursive: true })
    for (const part of parts) {
      await mkdir(join(to, part), { recursive: true })
      for (const file of await readdir(join(from, part)))
        await copyFile(join(from, part, file), join(to, part, file)).catch(unlessGone)
    }
  }
}

/** A hub that runs gives a file that it held ready its name meanwhile; who copies goes on. */
function unlessGone(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOENT") throw error
}
