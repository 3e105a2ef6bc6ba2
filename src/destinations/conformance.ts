import { Check } from "typebox/schema"
import { afterEach, beforeEach, describe, expect, test as vitestTest } from "vitest"
import type { Cursor } from "../core/cursor.ts"
import type { DestinationKind, Dispatch, Sender, SenderContext } from "../core/destination.ts"
import { type Attributes, type DataKind, Event } from "../core/event.ts"

/** What a test does with one kind: a destination of it that records what arrives and does as it is told. */
export interface DestinationHarness {
  readonly kind: DestinationKind
  /** A configuration that reaches the destination. */
  readonly config: unknown
  readonly context: SenderContext
  /** Configurations that the kind must refuse, and the fields it must name; those that its schema refuses name none. */
  readonly wrong: readonly { readonly config: unknown; readonly fields: readonly string[] }[]
  /** What has arrived, in any order. */
  received(): Promise<readonly Received[]>
  /** What `received` must show of this attempt's event, attributes in their text form. Default: the event as it is. */
  expected?(dispatch: Dispatch): Pick<Received, "attributes" | "data">
  /** How the destination answers from now on: `silent` never. */
  answer(how: "accept" | "refuse" | "silent"): void
  close(): Promise<void>
}

/** One arrival. */
export interface Received {
  /** Every attribute as text. */
  readonly attributes: Readonly<Record<string, string>>
  /** Empty where there is none. */
  readonly data: Uint8Array
  /** What tells the receiver that two arrivals are one delivery; a destination that drops repeats shows only one. */
  readonly repeat: string
}

/** Tests that a kind is let off, by name, each with the reason. */
export type Exemptions = Readonly<Record<string, string>>

/** The suite that every kind of destination passes. */
export function destinationConformance(
  name: string,
  makeHarness: () => Promise<DestinationHarness>,
  exemptions: Exemptions = {},
): void {
  describe(`${name} as a destination`, () => {
    const open: { harness?: DestinationHarness; senders: Sender[] } = { senders: [] }
    const bench: Bench = {
      get harness() {
        return open.harness!
      },
      async sender(config = open.harness!.config) {
        const sender = await open.harness!.kind.open(config, open.harness!.context)
        open.senders.push(sender)
        return sender
      },
    }
    beforeEach(async () => {
      open.harness = await makeHarness()
    })
    afterEach(async () => {
      await Promise.all(open.senders.splice(0).map((sender) => sender.close()))
      await open.harness?.close()
    })
    const known = new Set<string>()
    const test: Test = (title, run) => {
      known.add(title)
      vitestTest.skipIf(title in exemptions)(title, () => run(bench))
    }
    configTests(test)
    eventTests(test)
    failureTests(test)
    loadTests(test)
    batchTests(test)
    vitestTest("is let off nothing that is not tested", () => {
      expect(Object.keys(exemptions).filter((title) => !known.has(title))).toEqual([])
    })
  })
}

interface Bench {
  readonly harness: DestinationHarness
  /** Opens a sender, which is closed at the end. */
  sender(config?: unknown): Promise<Sender>
}

type Test = (title: string, run: (bench: Bench) => Promise<void>) => void

function configTests(test: Test): void {
  test("its schema takes the configuration that works, and describes every field", async ({ harness }) => {
    const { kind, config } = harness
    expect(kind.kind).toMatch(/^[a-z][a-z0-9-]*$/)
    expect(kind.description).not.toBe("")
    expect(Check(kind.config, config)).toBe(true)
    expect(kind.check(config)).toEqual([])
    const { properties } = kind.config as { properties: Record<string, { description?: string }> }
    for (const [field, schema] of Object.entries(properties)) expect(schema.description, field).toMatch(/\.$/)
  })

  test("its schema refuses fields that it does not know", async ({ harness }) => {
    expect(Check(harness.kind.config, { ...(harness.config as object), unheardOf: 1 })).toBe(false)
    expect(Check(harness.kind.config, {})).toBe(false)
  })

  test("names every wrong field", async ({ harness }) => {
    for (const { config, fields } of harness.wrong) {
      const named = Check(harness.kind.config, config) ? harness.kind.check(config).map((fault) => fault.field) : []
      expect(named, JSON.stringify(config)).toEqual(fields)
      if (fields.length === 0) expect(Check(harness.kind.config, config), JSON.stringify(config)).toBe(false)
    }
  })
}

function eventTests(test: Test): void {
  for (const [title, event] of Object.entries(sampleEvents())) {
    test(`brings ${title} whole`, async ({ harness, sender }) => {
      const attempt = dispatch(event)
      const outcome = await (await sender()).send(attempt, unaborted())
      expect(outcome).toMatchObject({ kind: "delivered", detail: expect.stringMatching(/^.{1,300}$/u) })
      const [arrival, ...more] = await harness.received()
      const { attributes, data } = harness.expected?.(attempt) ?? plain(event)
      expect(arrival!.attributes).toEqual(attributes)
      expect(Buffer.from(arrival!.data).equals(data)).toBe(true)
      expect(more).toEqual([])
    })
  }

  test("attempts of one delivery are recognised as one, other deliveries of the event are not", async ({
    harness,
    sender,
  }) => {
    const open = await sender()
    const event = sampleEvents()["an event"]!
    for (const [id, attempt] of [
      ["a", 1],
      ["a", 2],
      ["b", 1],
    ] as const) {
      expect(await open.send({ ...dispatch(event, id), attempt, at: attempt * 60_000 }, unaborted())).toHaveProperty(
        "kind",
        "delivered",
      )
    }
    const repeats = (await harness.received()).map(({ repeat }) => repeat)
    expect(new Set(repeats).size).toBe(2)
  })
}

function failureTests(test: Test): void {
  test("a refusal is a failure that may pass, and later attempts arrive", async ({ harness, sender }) => {
    const open = await sender()
    const attempt = dispatch(sampleEvents()["an event"]!)
    harness.answer("refuse")
    const outcome = await open.send(attempt, unaborted())
    expect(outcome).toMatchObject({ kind: "failed", permanent: false, detail: expect.stringMatching(/^.{1,300}$/u) })
    harness.answer("accept")
    expect(await open.send({ ...attempt, attempt: 2 }, unaborted())).toHaveProperty("kind", "delivered")
  })

  test("an abort ends an attempt that waits, as a failure that may pass", async ({ harness, sender }) => {
    const open = await sender()
    harness.answer("silent")
    const stop = new AbortController()
    const sending = [1, 2, 3].map((n) => open.send(dispatch(sampleEvents()["an event"]!, `${n}`), stop.signal))
    await waitFor(async () => (await harness.received()).length === 3)
    stop.abort()
    for (const outcome of await Promise.all(sending))
      expect(outcome).toMatchObject({ kind: "failed", permanent: false })
    harness.answer("accept")
    expect(await open.send(dispatch(sampleEvents()["an event"]!, "4"), unaborted())).toHaveProperty("kind", "delivered")
  })

  test("nothing is sent for a signal that has aborted", async ({ harness, sender }) => {
    const outcome = await (await sender()).send(dispatch(sampleEvents()["an event"]!), AbortSignal.abort())
    expect(outcome).toMatchObject({ kind: "failed", permanent: false })
    expect(await harness.received()).toEqual([])
  })

  test("closing lets what is being sent end, and can be said twice", async ({ harness, sender }) => {
    const open = await sender()
    const sending = open.send(dispatch(sampleEvents()["an event"]!), unaborted())
    await Promise.all([open.close(), open.close()])
    expect(await sending).toHaveProperty("kind", "delivered")
    expect(await harness.received()).toHaveLength(1)
  })
}

function loadTests(test: Test): void {
  test("many at once arrive, each once", async ({ harness, sender }) => {
    const open = await sender()
    const count = 300
    const sends = Array.from({ length: count }, (_, i) => {
      const event = Event.of({ ...required, id: `many-${i}`, index: i }, Buffer.from(`${i}`), "json")
      return open.send(dispatch(event, `many-${i}`), unaborted())
    })
    for (const outcome of await Promise.all(sends)) expect(outcome.kind).toBe("delivered")
    const arrivals = await harness.received()
    expect(arrivals).toHaveLength(count)
    for (const { attributes, data } of arrivals) expect(Buffer.from(data).toString()).toBe(attributes.index)
    expect(new Set(arrivals.map(({ attributes }) => attributes.index)).size).toBe(count)
  })
}

/** Of a configuration that takes batches. */
function batchTests(test: Test): void {
  test("a batch brings every event whole, each as its own delivery", async ({ harness, sender }) => {
    if (harness.kind.batching?.(harness.config) === undefined) return
    const dispatches = Object.values(sampleEvents()).map((event, i) => dispatch(event, `batched-${i}`))
    const { answer, each } = await (await sender()).sendBatch!({ id: "batch-1", dispatches }, unaborted())
    expect(each ?? [answer]).toEqual((each ?? [answer]).map(() => expect.objectContaining({ kind: "delivered" })))
    const arrivals = await harness.received()
    expect(arrivals.map(({ attributes }) => attributes)).toEqual(
      dispatches.map(({ stored }) => plain(stored.event).attributes),
    )
    for (const [i, { data }] of arrivals.entries())
      expect(Buffer.from(data).equals(plain(dispatches[i]!.stored.event).data)).toBe(true)
    expect(new Set(arrivals.map(({ repeat }) => repeat)).size).toBe(dispatches.length)
  })

  test("a batch that is refused is a failure that may pass", async ({ harness, sender }) => {
    if (harness.kind.batching?.(harness.config) === undefined) return
    harness.answer("refuse")
    const dispatches = [1, 2].map((n) => dispatch(sampleEvents()["an event"]!, `${n}`))
    const { answer, each } = await (await sender()).sendBatch!({ id: "batch-1", dispatches }, unaborted())
    expect([answer, ...(each ?? [])]).toContainEqual(expect.objectContaining({ kind: "failed", permanent: false }))
  })
}

const required: Attributes = {
  specversion: "1.0",
  id: "order-1",
  source: "/shop/orders",
  type: "com.example.order.placed",
}

/** Events of every shape, each a case of the suite. */
export function sampleEvents(): Readonly<Record<string, Event>> {
  const of = (more: Attributes, data?: Uint8Array, kind?: DataKind) => Event.of({ ...required, ...more }, data, kind)
  const every = {
    datacontenttype: "application/json",
    dataschema: "https://example.com/schemas/order.json#v1",
    subject: "orders/1",
    time: "2026-03-01T12:00:00.123456789+02:00",
    correlationid: "c-1",
    sampledrate: 30,
    least: -2147483648,
    deprecated: true,
    empty: "",
  }
  const json = Buffer.from('{ "total": 1.50,\n "big": 12345678901234567890, "name": "Zoë" }')
  return {
    "an event": of({ datacontenttype: "application/json" }, Buffer.from('{"order":1}'), "json"),
    "an event without data": of({}),
    "every attribute, and JSON data byte for byte": of(every, json, "json"),
    "text beyond ASCII": of(
      { subject: "Euro € 😀", quoted: 'say "50%" %41 \\', datacontenttype: "text/plain" },
      Buffer.from("Grüße\n€"),
      "text",
    ),
    "binary data": of(
      { datacontenttype: "image/png" },
      Buffer.from(Array.from({ length: 512 }, (_, i) => i & 255)),
      "binary",
    ),
    "an event of 512 KiB": of(
      { datacontenttype: "application/octet-stream" },
      Buffer.alloc(512 << 10, "redcar"),
      "binary",
    ),
  }
}

/** The first attempt of a delivery of `event`. */
export function dispatch(event: Event, delivery = "00000000001.trg-orders"): Dispatch {
  const cursor = "00000000001" as Cursor
  return {
    stored: { address: { tenant: "default", topic: "orders" }, cursor, storedAt: 1_000, event },
    delivery: {
      id: delivery,
      tenant: "default",
      trigger: "trg-orders",
      incarnation: "",
      destination: "dst-1",
      cursor,
      fingerprint: 0,
    },
    attempt: 1,
    at: 1_772_366_400_000,
  }
}

/** An event as {@link Received} shows it. */
export function plain(event: Event): { attributes: Record<string, string>; data: Uint8Array } {
  const attributes = Object.entries(event.attributes).map(([name, value]) => [name, String(value)])
  return { attributes: Object.fromEntries(attributes), data: event.data ?? new Uint8Array() }
}

function unaborted(): AbortSignal {
  return new AbortController().signal
}

/** Waits for something that needs no time but the machine's. */
async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(setImmediate)
}
