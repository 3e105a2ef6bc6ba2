import { afterEach, beforeEach, expect, test } from "vitest"
import type { Outcome } from "../../core/delivery.ts"
import { Event } from "../../core/event.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { dispatch } from "../conformance.ts"
import { createSigner, issueSigningKey } from "../signing.ts"
import type { WebhookConfig } from "./config.ts"
import { createEncode, type EncodedRequest, headBytesMax } from "./encode.ts"
import { webhookKind } from "./kind.ts"
import { openReceiver, type Receiver } from "./receiver.fixture.ts"

const attributes = { specversion: "1.0", id: "1", source: "/shop", type: "order.placed" }
const key = issueSigningKey("v1", 0, createSimulatedChance(1))

let receiver: Receiver
beforeEach(async () => {
  receiver = await openReceiver()
})
afterEach(() => receiver.close())

async function send(event: Event, config: Partial<WebhookConfig> = {}): Promise<Outcome> {
  const clock = createSimulatedClock(1_772_366_400_000)
  const kind = webhookKind({ clock, guard: { allowLoopback: true, allowPrivate: false, allow: [] } })
  const sender = await kind.open(
    { url: receiver.url, ...config },
    { tenant: "default", signingKeys: [key], publish: async () => {} },
  )
  const outcome = await sender.send({ ...dispatch(event), at: clock.now() }, new AbortController().signal)
  await sender.close()
  return outcome
}

/** An event with data and an attribute of so many characters. */
function withNote(length: number): Event {
  return Event.of({ ...attributes, note: "x".repeat(length) }, Buffer.from('{"order":1}'), "json")
}

/** The bytes of the head as it came: its first line, all headers, the empty line. */
function headBytesOf({ rawHeaders, path }: Receiver["arrivals"][number]): number {
  const lines = [`POST ${path} HTTP/1.1`]
  for (let i = 0; i < rawHeaders.length; i += 2) lines.push(`${rawHeaders[i]}: ${rawHeaders[i + 1]}`)
  return `${lines.join("\r\n")}\r\n\r\n`.length
}

/** The longest note with which everything fits into a head. */
async function noteMax(config: Partial<WebhookConfig> = {}): Promise<number> {
  await send(withNote(1), config)
  return headBytesMax - headBytesOf(receiver.arrivals.pop()!) + 1
}

test("a head of 8 KiB is sent in binary mode, and one byte more in structured mode, signed as well", async () => {
  const max = await noteMax()
  await send(withNote(max))
  await send(withNote(max + 1))
  const [fits, larger] = receiver.arrivals
  expect(headBytesOf(fits!)).toBe(headBytesMax)
  expect(fits!.headers["ce-note"]).toBe("x".repeat(max))
  expect(larger!.headers).not.toHaveProperty("ce-id")
  expect(larger!.headers["content-type"]).toMatch(/^application\/cloudevents\+json/)
  expect(JSON.parse(larger!.body.toString())).toMatchObject({ ...attributes, note: "x".repeat(max + 1) })
  const signature = larger!.headers["webhook-signature"]
  expect(signature).toMatch(/^v1,/)
  expect(signature).not.toBe(fits!.headers["webhook-signature"])
})

test("where the destination refuses them nothing is sent, for good, and the reason is told", async () => {
  const config = { largeAttributes: "refuse" } as const
  const max = await noteMax(config)
  expect(await send(withNote(max), config)).toMatchObject({ kind: "delivered" })
  expect(await send(withNote(max + 1), config)).toEqual({
    kind: "failed",
    permanent: true,
    detail:
      "not sent: with its attributes as headers the request's head has 8193 bytes, and 8192 are what servers take; in structured mode it could be sent (largeAttributes: structured)",
  })
  expect(receiver.arrivals).toHaveLength(1)
  expect(await send(withNote(max + 1), { ...config, mode: "structured" })).toMatchObject({ kind: "delivered" })
})

test("a trace that does not fit beside the other headers is only in the event", async () => {
  const baggage = `user=${"a".repeat(7_000)}`
  for (const mode of ["binary", "structured"] as const) {
    await send(Event.of({ ...attributes, baggage }), { mode })
    await send(Event.of({ ...attributes, baggage, note: "x".repeat(2_000) }), { mode })
    const fitting = baggage.length
    expect(receiver.arrivals[0]!.headers.baggage).toHaveLength(fitting)
    expect(receiver.arrivals.pop()!.headers.baggage).toHaveLength(fitting)
    receiver.arrivals.length = 0
  }
  await send(Event.of({ ...attributes, baggage: `user=${"a".repeat(8_100)}` }), { mode: "structured" })
  const [arrival] = receiver.arrivals
  expect(arrival!.headers).not.toHaveProperty("baggage")
  expect(JSON.parse(arrival!.body.toString()).baggage).toHaveLength(8_105)
})

test("a destination whose own headers are as long takes long heads: the mode stays", async () => {
  const headers = { "x-a": "a".repeat(4_000), "x-b": "b".repeat(4_096) }
  await send(withNote(100), { headers: { ...headers, "x-c": "c".repeat(100) }, largeAttributes: "refuse" })
  expect(receiver.arrivals[0]!.headers["ce-note"]).toBe("x".repeat(100))
})

test.each([
  [8_200, "binary", "refuse"],
  [8_200, "binary", "structured"],
  [8_200, "structured", "structured"],
  [4_000, "binary", "refuse"],
] as const)("a token of %d characters is one of them: %s, %s", (length, mode, largeAttributes) => {
  const encode = createEncode({ url: receiver.url, mode, largeAttributes }, createSigner([key]))
  const baggage = "user=1"
  const encodeNote = (note: number) =>
    encode(dispatch(Event.of({ ...attributes, baggage, note: "x".repeat(note) })), `Bearer ${"t".repeat(length)}`)
  expect(encodeNote(100)).toMatchObject({ headers: expect.arrayContaining(["baggage", "authorization"]) })
  expect((encodeNote(100) as EncodedRequest).headers.includes("ce-note")).toBe(mode === "binary")
  const isRefused = "refused" in encodeNote(5_000)
  expect(isRefused).toBe(length < headBytesMax)
})
