import { connect, headers, type NatsConnection } from "@nats-io/transport-node"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { Event } from "../../../core/event.ts"
import type { InboxMessage } from "../../../core/inbox.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { type Nats, natsAvailable, startNats } from "../../../testing/nats.ts"
import { connectNats } from "../connection.ts"
import { silentLog } from "../log.fixture.ts"
import { createNames } from "../names.ts"
import { openInbox } from "./inbox.ts"
import { openLog } from "./log-harness.fixture.ts"

describe.skipIf(natsAvailable() === undefined)("what others publish in NATS", () => {
  let nats: Nats
  let client: NatsConnection
  let named = 0
  const closing: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    nats = await startNats()
    client = await connect({ servers: nats.url })
  })
  afterAll(async () => {
    await client.close()
    await nats.stop()
  })
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })

  const open = async (prefix = `i${++named}`) => {
    const connection = await connectNats({ servers: [nats.url], log: silentLog })
    const names = createNames(prefix)
    const inbox = await openInbox({ nats: connection, names, replicas: 1, clock: systemClock, log: silentLog })
    const stop = new AbortController()
    const received: InboxMessage[] = []
    let wake = () => {}
    const over = (async () => {
      for await (const messages of inbox.receive(stop.signal)) {
        received.push(...messages)
        wake()
      }
    })()
    const end = async () => {
      stop.abort()
      await over
      await inbox.close()
      await connection.close()
    }
    closing.push(end)
    const come = async (count: number) => {
      while (received.length < count) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return received
    }
    return { received, come, end, prefix, cut: () => connection.close() }
  }
  const publish = (subject: string, data: string, given: Record<string, string> = {}) => {
    const sent = headers()
    for (const [name, value] of Object.entries(given)) sent.set(name, value)
    return client.request(subject, data, { headers: sent, timeout: 2_000 })
  }
  const attributes = { "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t" }
  const waiting = async (prefix: string) => {
    const answer = await client.request(`$JS.API.STREAM.INFO.${prefix.toUpperCase()}_INBOX`)
    return answer.json<{ state: { messages: number } }>().state.messages
  }

  test("comes as an event in either mode, or as bytes with what they are said to be", async () => {
    const { come, prefix } = await open()
    await publish(`${prefix}.acme.orders.7`, '{"a":1}', {
      ...attributes,
      "ce-datacontenttype": "application/json",
      "ce-subject": "caf%C3%A9",
    })
    const structured = { specversion: "1.0", id: "2", source: "/s", type: "t", data: [1], redcarcursor: "x" }
    await publish(`${prefix}.acme.orders`, JSON.stringify(structured), {
      "Content-Type": "application/cloudevents+json",
    })
    await publish(`${prefix}.acme.orders`, "plain", { "Content-Type": "text/plain" })
    await publish(`${prefix}.acme.orders`, "nothing said")
    const [binary, json, text, bytes] = await come(4)
    expect(binary!.address).toEqual({ tenant: "acme", topic: "orders", key: "7" })
    const event = binary!.content as Event
    expect(event).toBeInstanceOf(Event)
    expect(event.attributes).toMatchObject({ id: "1", subject: "café", datacontenttype: "application/json" })
    expect([event.dataKind, Buffer.from(event.data!).toString()]).toEqual(["json", '{"a":1}'])
    expect(json!.address).toEqual({ tenant: "acme", topic: "orders" })
    expect((json!.content as Event).attributes).toEqual({ specversion: "1.0", id: "2", source: "/s", type: "t" })
    expect(text!.content).toMatchObject({ contentType: "text/plain" })
    expect(bytes!.content).toEqual({ data: expect.any(Uint8Array) })
    for (const one of [binary, json, text, bytes]) await one!.settle()
    await expect.poll(() => waiting(prefix)).toBe(0)
  })

  test("says what is wrong with what is meant as an event", async () => {
    const { come, prefix } = await open()
    await publish(`${prefix}.acme.orders`, "x", { "ce-id": "1" })
    await publish(`${prefix}.acme.orders`, "{", { "content-type": "application/cloudevents+json" })
    await publish(`${prefix}.acme.orders`, "[]", { "Content-Type": "application/cloudevents-batch+json" })
    const faults = (await come(3)).map(({ content }) => (content instanceof Event ? [] : content.faults))
    expect(faults[0]).toEqual(expect.arrayContaining(["source is required", "type is required"]))
    expect(faults.slice(1)).toEqual([[expect.stringContaining("JSON")], [expect.stringContaining("batch")]])
  })

  test("keeps what is refused, with the reason, and sets aside what names no topic", async () => {
    const { come, prefix } = await open()
    await publish(`${prefix}.acme.orders`, "bad", { ...attributes, "Nats-Msg-Id": "mine" })
    await publish(`${prefix}.acme.too.many.tokens`, "lost")
    const [message] = await come(1)
    await message!.settle("it is no good: é")
    await expect.poll(() => waiting(prefix)).toBe(0)
    const direct = `$JS.API.DIRECT.GET.${prefix.toUpperCase()}_REFUSED`
    const refused = (subject: string) =>
      client.request(direct, JSON.stringify({ last_by_subj: `_${prefix}.refused.${prefix}.${subject}` }))
    const kept = await refused("acme.orders")
    expect([kept.string(), kept.headers!.get("ce-id")]).toEqual(["bad", "1"])
    expect(decodeURIComponent(kept.headers!.get("redcar-refusal"))).toBe("it is no good: é")
    const unnamed = await refused("acme.too.many.tokens")
    expect(unnamed.headers!.get("redcar-refusal")).toContain("subject")
  })

  test("is given again when it was given back, and to another process when one dies", async () => {
    const first = await open()
    await publish(`${first.prefix}.acme.orders`, "x", attributes)
    const [message] = await first.come(1)
    await message!.giveBack()
    const [, again] = await first.come(2)
    expect((again!.content as Event).id).toBe("1")
    await again!.giveBack()
    await first.end()
    const second = await open(first.prefix)
    const [third] = await second.come(1)
    await third!.settle()
    await expect.poll(() => waiting(first.prefix)).toBe(0)
  })

  test("is not what the hub itself stores, which any client may read", async () => {
    const { received, prefix } = await open()
    const { log, close } = await openLog(nats, { prefix })
    closing.push(close)
    const event = Event.of({ specversion: "1.0", id: "é", source: "/s", type: "t" }, Buffer.from("hi"), "text")
    await log.append({ tenant: "acme", topic: "orders", key: "7" }, [event])
    const stored = await client.request(`$JS.API.DIRECT.GET.${prefix.toUpperCase()}_LOG_0`, JSON.stringify({ seq: 1 }))
    expect(stored.headers!.get("Nats-Subject")).toBe(`${prefix}.acme.orders.7`)
    expect(stored.headers!.get("ce-id")).toBe("%C3%A9")
    expect(stored.string()).toBe("hi")
    expect(await waiting(prefix)).toBe(0)
    expect(received).toEqual([])
  })
})
