import { chmodSync, cpSync, lstatSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { createSimulatedChance, type SimulatedChance } from "../src/testing/chance.ts"
import { HubProcess, HubStartError } from "../src/testing/hub-process.ts"
import { type Account, cursorAt, type Damage, type Fresh, positionOf, type SecondStart, type Shown } from "./account.ts"
import { differences } from "./bytes.ts"
import { publish, readAlone, readHealth, readLetters, readResources, readTopic } from "./client.ts"
import { allRoles, hubFlags } from "./generate.ts"
import { judge, judgeElsewhere, missingEvents, owed } from "./judge.ts"
import { type Kind, kinds } from "./kinds.ts"
import { type Oracle, type Promised, promisedBy, type Resources, type Variant, variants } from "./oracle.ts"
import { nobody, type TrialHubs } from "./trial-hubs.ts"
import { eventOf, eventOfId, freshFrom, type Read, topics } from "./workload.ts"

export interface TrialOptions {
  readonly seed: number
  /** Only this kind. */
  readonly kind?: Kind | undefined
  readonly variant?: Variant | undefined
}

export interface TrialResult {
  readonly seed: number
  readonly variant: Variant
  readonly kinds: readonly string[]
  readonly damage: Damage
  readonly end: "started" | "refused"
  /** What it said where it refused, its health where it started. */
  readonly said: readonly string[]
  /** Crashes in native code at the first start. */
  readonly crashes: number
  readonly missing: number
  readonly repeated: number
  readonly faults: readonly string[]
  readonly ms: number
}

const freshCount = 50
const againCount = 4
const laterCount = 6
const stallMs = 15_000
const startMsMax = 60_000
const secondDamage = 0.2
const secondStart = 0.2
const aloneCount = 6

/** Copies a folder, damages it, starts a hub on it, and holds what it does against what was promised. */
export async function runTrial(prepared: TrialHubs, options: TrialOptions): Promise<TrialResult> {
  const startedAt = performance.now()
  const chance = createSimulatedChance(`damage ${options.seed}`)
  const variant = options.variant ?? chance.pick(variants)
  const source = join(prepared.hubs, variant)
  const promised = promisedBy(prepared.oracle, variant)
  const folder = join(prepared.work, "hub")
  const inflicted = inflict(prepared, { source, folder, promised, chance, kind: options.kind })
  const trial = new Trial(prepared, promised, chance, inflicted)
  const outcome = await trial.run()
  const { seed } = options
  const fixed = { seed, variant, kinds: inflicted.kinds, damage: inflicted.damage, crashes: trial.crashes }
  const ms = () => performance.now() - startedAt
  if ("refusal" in outcome) {
    const { refusal } = outcome
    return { ...fixed, end: "refused", said: refusal, missing: 0, repeated: 0, faults: ofRefusal(refusal), ms: ms() }
  }
  const account: Account = {
    promised,
    own: ownByDelivery(prepared.oracle),
    clean: variant === "clean",
    damage: inflicted.damage,
    shown: outcome,
  }
  return {
    ...fixed,
    end: "started",
    said: outcome.health,
    missing: missingEvents(account).size,
    repeated: outcome.arrivals.filter(({ trigger, id }) => promised.done.has(`${trigger} ${id}`)).length,
    faults: [...trial.faults, ...(inflicted.kinds.includes("log-foreign") ? judgeElsewhere(outcome) : judge(account))],
    ms: ms(),
  }
}

function ownByDelivery({ own }: Oracle): ReadonlyMap<string, readonly string[]> {
  const grouped = Map.groupBy(own, ({ delivery }) => delivery)
  return new Map([...grouped].map(([delivery, notes]) => [delivery, notes.map(({ cursor }) => cursor)]))
}

/** A refusal has to name something of the folder and a next step, and is no stack. */
function ofRefusal(said: readonly string[]): readonly string[] {
  const text = said.join("\n")
  const faults: string[] = []
  if (/^\s+at .*:\d+/m.test(text)) faults.push(`refused to start with a stack: ${said.slice(0, 4).join(" | ")}`)
  else if (said.length < 2) faults.push(`refused to start without a next step: ${text}`)
  else if (!/\/hub\b|segment|data\.mdb|state|log\//.test(text))
    faults.push(`refused to start and names no file: ${text}`)
  return faults
}

interface Inflicting {
  readonly source: string
  readonly folder: string
  readonly promised: Promised
  readonly chance: SimulatedChance
  readonly kind: Kind | undefined
}

interface Inflicted {
  readonly kinds: readonly string[]
  readonly damage: Damage
  readonly readOnly: boolean
}

function inflict(prepared: TrialHubs, { source, folder, promised, chance, kind }: Inflicting): Inflicted {
  rmSync(prepared.work, { recursive: true, force: true })
  mkdirSync(prepared.work, { recursive: true })
  cpSync(source, folder, { recursive: true })
  const known = [...promised.events.keys(), ...prepared.oracle.own.map(({ cursor }) => cursor)].map(positionOf)
  const positions = known.sort((a, b) => a - b)
  const place = { folder, early: join(prepared.hubs, "early"), foreign: prepared.foreign, positions, chance }
  const mayBe = kinds.filter(({ readOnly }) => readOnly === undefined || prepared.othersMayRun)
  const done: { kind: Kind; what: string }[] = []
  const count = kind === undefined && chance.happens(secondDamage) ? 2 : 1
  while (done.length < count) {
    const next = kind ?? chance.pick(done.length === 0 ? mayBe : mayBe.filter(({ alone }) => !alone))
    const what = next.inflict(place)
    if (what === undefined && kind !== undefined) return inflictNothing()
    if (what !== undefined) done.push({ kind: next, what })
    if (next.alone) break
  }
  const readOnly = done.some((one) => one.kind.readOnly)
  const log = differences(join(source, "log"), join(folder, "log"))
  const data = (of: string) => statSync(join(of, "state", "data.mdb"), { throwIfNoEntry: false })?.size
  const stateDiffers =
    data(source) !== data(folder) ||
    differences(join(source, "state"), join(folder, "state")).some(({ file }) => file === "data.mdb")
  const touched = touchedBy(log, readdirSync(join(source, "log")), positions)
  const logDiffers = log.some(({ file }) => file.endsWith(".segment"))
  const isTold = done.every((one) => one.kind.isTold)
  const damage = { what: done.map(({ what }) => what), touched, logDiffers, stateDiffers, isTold }
  return { kinds: done.map((one) => one.kind.name), damage, readOnly }
}

function inflictNothing(): Inflicted {
  const damage = { what: ["nothing, since this folder has nothing to do it to"], touched: new Set<string>() }
  return {
    kinds: ["none"],
    damage: { ...damage, logDiffers: false, stateDiffers: false, isTold: false },
    readOnly: false,
  }
}

/** The known records whose bytes differ: each reaches to the next one, or to its file's end. */
function touchedBy(
  stretches: readonly { readonly file: string; readonly from: number; readonly to: number }[],
  files: readonly string[],
  positions: readonly number[],
): ReadonlySet<string> {
  const bases = files.filter((name) => name.endsWith(".segment")).map((name) => positionOf(name.slice(0, 11)))
  const ends = bases.toSorted((a, b) => a - b)
  const touched = positions.filter((position, i) => {
    const base = ends.findLast((one) => one <= position)
    if (base === undefined) return true
    const file = `${cursorAt(base)}.segment`
    const from = position - base
    const to = (positions[i + 1] ?? Number.POSITIVE_INFINITY) - base
    return stretches.some((one) => one.file === file && one.from < to && one.to > from)
  })
  return new Set(touched.map(cursorAt))
}

class Trial {
  readonly faults: string[] = []
  crashes = 0
  /** Ends of the hub by itself that are dealt with. */
  #endsSeen = 0
  readonly #prepared: TrialHubs
  readonly #promised: Promised
  readonly #chance: SimulatedChance
  readonly #touched: ReadonlySet<string>
  readonly #hub: HubProcess

  constructor(prepared: TrialHubs, promised: Promised, chance: SimulatedChance, { readOnly, damage }: Inflicted) {
    this.#prepared = prepared
    this.#touched = damage.touched
    this.#promised = promised
    this.#chance = chance
    if (readOnly) protect(prepared.work)
    this.#hub = new HubProcess({
      name: "hub",
      roles: allRoles,
      directory: prepared.work,
      logDirectory: `${prepared.work}/..`,
      key: prepared.oracle.key,
      flags: hubFlags,
      startMsMax,
      ...(readOnly && { uid: nobody }),
    })
  }

  async run(): Promise<Shown | { readonly refusal: readonly string[] }> {
    try {
      this.#prepared.receiver.begin(() => "takes", this.#prepared.oracle.secrets)
      const refusal = await this.#start()
      if (refusal !== undefined) return { refusal }
      const shown = await this.#look()
      const ended = this.#hub.faults.slice(this.#endsSeen).some((text) => text.includes("SIG"))
      return (ended || typeof shown.end === "string") && this.crashes === 0 ? await this.#lookAgain(shown) : shown
    } finally {
      await this.#hub.close()
    }
  }

  /** After a crash in native code the next start is the one that counts. */
  async #lookAgain(before: Shown): Promise<Shown | { readonly refusal: readonly string[] }> {
    this.crashes++
    this.faults.length = 0
    this.#endsSeen = this.#hub.faults.length
    const refusal = await this.#start()
    if (refusal !== undefined) return { refusal }
    const earlier = new Set(Array.from({ length: freshCount }, (_, i) => freshFrom + i))
    const shown = await this.#look(earlier)
    // What it was told before it crashed changed them.
    return before.resources.triggers === undefined ? shown : { ...shown, resources: before.resources }
  }

  /** A crash in native code may happen once. Answers what it said where it refused. */
  async #start(): Promise<readonly string[] | undefined> {
    for (let start = 1; ; start++) {
      try {
        await this.#hub.start()
        return undefined
      } catch (error) {
        if (!(error instanceof HubStartError)) throw error
        if (typeof error.end === "number" && error.end < 128) return error.said
        this.crashes++
        this.#endsSeen = this.#hub.faults.length
        if (start === 2) return [`it did not start, twice: ${error.message}`]
        if (error.end === undefined) this.faults.push(`it hung at its start: ${error.message}`)
        await this.#hub.kill()
      }
    }
  }

  async #look(earlier: ReadonlySet<number> = new Set()): Promise<Shown> {
    const hub = this.#hub
    const health = await this.#asked("its health", [], readHealth(hub))
    const resources = await this.#asked<Resources, Resources>("its resources", {}, readResources(hub))
    const read = await this.#readAll()
    const alone = await this.#readAlone()
    const later = await this.#later()
    const fresh = await this.#publishFresh(freshFrom + earlier.size)
    const again = await this.#publishAgain(new Set([...read.values()].flat().map(({ redcarcursor }) => redcarcursor)))
    for (const { id, paused, destination } of resources.triggers ?? [])
      if (paused === true && resources.destinations?.some((one) => one.id === destination))
        await this.#asked("resuming", undefined, hub.call("POST", `/v1/triggers/${id}/resume`))
    await this.#untilDelivered(read, fresh)
    const letters = await this.#asked("its dead letters", [], readLetters(hub))
    const readAtEnd = await this.#readAll()
    const healthAtEnd = await this.#asked("its health at the end", [], readHealth(hub))
    const end = await hub.kill("SIGTERM")
    const arrivals = [...this.#prepared.receiver.arrivals]
    const second = this.#chance.happens(secondStart) ? await this.#startAgain() : undefined
    this.faults.push(...hub.faults.slice(this.#endsSeen))
    const all = [...new Set([...health, ...healthAtEnd])]
    const seen = {
      health: all,
      resources,
      read,
      alone,
      later,
      fresh,
      earlier,
      again,
      arrivals,
      letters,
      readAtEnd,
      end,
    }
    return { ...seen, ...(second !== undefined && { second }) }
  }

  async #startAgain(): Promise<SecondStart | undefined> {
    const [hub, { receiver, oracle }] = [this.#hub, this.#prepared]
    receiver.begin(() => "takes", oracle.secrets)
    const started = await hub.start().then(
      () => true,
      (error: unknown) => this.faults.push(`its next start: ${String(error)}`) < 0,
    )
    if (!started) return undefined
    const health = await this.#asked("its health later", [], readHealth(hub))
    const resources = await this.#asked<Resources, Resources>("its resources later", {}, readResources(hub))
    const read = await this.#readAll()
    await hub.kill("SIGTERM")
    return { health, resources, read, arrivals: [...receiver.arrivals] }
  }

  /** Some events by their cursors, damaged ones above all. */
  async #readAlone(): Promise<ReadonlyMap<string, Read | undefined>> {
    const cursors = [...this.#promised.events.keys()]
    const damaged = cursors.filter((cursor) => this.#touched.has(cursor))
    const read = new Map<string, Read | undefined>()
    for (let i = 0; i < aloneCount; i++) {
      const cursor = this.#chance.pick(i % 2 === 0 && damaged.length > 0 ? damaged : cursors)
      const answer = readAlone(this.#hub, this.#prepared.oracle.key, cursor)
      read.set(cursor, await this.#asked(`the event at ${cursor}`, undefined, answer))
    }
    return read
  }

  /** What the hub answers; what it refuses is a fault, and `otherwise` stands for it. */
  async #asked<T, E>(what: string, otherwise: E, answer: Promise<T>): Promise<T | E> {
    try {
      return await answer
    } catch (error) {
      this.faults.push(`${what} cannot be had: ${String(error)}`)
      return otherwise
    }
  }

  async #readAll(): Promise<Shown["read"]> {
    const entries = topics.map(
      async (topic) => [topic, await this.#asked(`topic ${topic}`, [], readTopic(this.#hub, topic))] as const,
    )
    return new Map(await Promise.all(entries))
  }

  /** The states of some deliveries that have hours to wait. */
  async #later(): Promise<ReadonlyMap<string, string>> {
    const waiting = [...this.#promised.events].filter(([, { id }]) => this.#promised.waiting.has(id))
    const states = new Map<string, string>()
    for (let i = 0; i < laterCount; i++) {
      const [cursor] = this.#chance.pick(waiting)
      const answer = await this.#hub.call("GET", `/v1/events/${cursor}/deliveries`).catch(() => undefined)
      if (answer === undefined) continue
      const { items } = (await answer.json()) as { readonly items: readonly { trigger: string; state: string }[] }
      states.set(`${cursor}.later`, items.find(({ trigger }) => trigger === "later")?.state ?? "not there")
    }
    return states
  }

  async #publishFresh(from: number): Promise<readonly Fresh[]> {
    const fresh: Fresh[] = []
    for (let number = from; number < from + freshCount; number++) {
      const stored = await this.#publish(number)
      if (stored === undefined) break
      fresh.push(stored)
    }
    return fresh
  }

  async #publish(number: number): Promise<Fresh | undefined> {
    const published = publish(this.#hub, this.#prepared.oracle.key, [eventOf(number)])
    const [stored] = await this.#asked(`the place of event d${number}`, [], published)
    return stored && { ...stored, number }
  }

  /** Events that can be read are duplicates of themselves. */
  async #publishAgain(there: ReadonlySet<string>): Promise<readonly Fresh[]> {
    const readable = [...this.#promised.events].filter(
      ([cursor, { topic }]) => there.has(cursor) && topic !== "trimmed",
    )
    const again: Fresh[] = []
    for (let i = 0; i < againCount && readable.length > 0; i++) {
      const stored = await this.#publish(this.#chance.pick(readable)[1].number)
      if (stored !== undefined) again.push(stored)
    }
    return again
  }

  /** Resolves when all that is owed has come, or nothing comes any more. */
  async #untilDelivered(read: Shown["read"], fresh: readonly Fresh[]): Promise<void> {
    const { receiver } = this.#prepared
    const shown = { read, fresh, arrivals: [] } as unknown as Shown
    const account = { promised: this.#promised, shown } as Account
    const open = new Set(owed(account).filter((name) => !this.#mayBeDead(name)))
    let looked = 0
    await receiver.until(() => {
      for (; looked < receiver.arrivals.length; looked++) {
        const { trigger, id } = receiver.arrivals[looked]!
        open.delete(`${trigger} ${id}`)
      }
      return open.size === 0
    }, stallMs)
  }

  /** Whether it may have died after the letters were counted. */
  #mayBeDead(name: string): boolean {
    const event = eventOfId(name.split(" ")[1]!)
    return name.startsWith("dead ") && event!.number < freshFrom
  }
}

/** Readable for the user that may not write, who is not its owner. */
function protect(folder: string): void {
  for (const name of ["", ...readdirSync(folder, { recursive: true, encoding: "utf8" })]) {
    const path = join(folder, name)
    chmodSync(path, lstatSync(path).isDirectory() ? 0o755 : 0o644)
  }
}
