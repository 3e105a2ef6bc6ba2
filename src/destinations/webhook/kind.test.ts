import { Event } from "../../core/event.ts"
import { BinaryDecoder } from "../../formats/http-binding.ts"
import { JsonDecoder } from "../../formats/json-decode.ts"
import { parseMediaType } from "../../formats/media-type.ts"
import { createSimulatedChance } from "../../testing/chance.ts"
import { createSimulatedClock } from "../../testing/clock.ts"
import { type DestinationHarness, destinationConformance, plain, type Received } from "../conformance.ts"
import { issueSigningKey } from "../signing.ts"
import type { WebhookConfig } from "./config.ts"
import { webhookKind } from "./kind.ts"
import { type Arrival, answering, openReceiver } from "./receiver.fixture.ts"

const guard = { allowLoopback: true, allowPrivate: false, allow: [] }
const url = "https://example.com/hook"

async function harness(config: Omit<WebhookConfig, "url">): Promise<DestinationHarness> {
  const receiver = await openReceiver()
  const clock = createSimulatedClock(1_772_366_400_000)
  return {
    kind: webhookKind({ clock, guard }),
    config: { url: receiver.url, ...config },
    context: {
      tenant: "default",
      signingKeys: [issueSigningKey("v1", 0, createSimulatedChance(1))],
      publish: async () => {},
    },
    wrong: [
      { config: { url: "nowhere", headers: { host: "x" } }, fields: ["url", "headers.host"] },
      { config: { url, timeoutMs: 1_000, connectTimeoutMs: 1_001 }, fields: ["connectTimeoutMs"] },
      { config: { url: "http://10.0.0.1/" }, fields: ["url"] },
      { config: { url: "" }, fields: [] },
      { config: { url, mode: "batch" }, fields: [] },
      { config: { url, signing: "v2" }, fields: [] },
      { config: { url, timeoutMs: 999 }, fields: [] },
      { config: { url, timeoutMs: 60_001 }, fields: [] },
      { config: { url, headers: { a: 1 } }, fields: [] },
      { config: { url, batch: { eventsMax: 1_001 } }, fields: [] },
      { config: { url, batch: { waitMs: 10_001 } }, fields: [] },
      { config: { url, batch: { outcomes: "some" } }, fields: [] },
    ],
    received: async () => receiver.arrivals.flatMap(read),
    answer(how) {
      receiver.answer = how === "silent" ? () => {} : answering(how === "accept" ? 204 : 503)
    },
    close: () => receiver.close(),
  }
}

function read({ headers, rawHeaders, body }: Arrival): Received[] {
  const type = headers["content-type"]
  if (type?.startsWith("application/cloudevents-batch+json")) return readBatch(body)
  const media = type === undefined ? undefined : parseMediaType(type)
  const event = type?.startsWith("application/cloudevents+json")
    ? new JsonDecoder().decode(body)
    : new BinaryDecoder().decode(rawHeaders, media, body)
  if (!(event instanceof Event)) throw new Error(event.detail)
  return [{ ...plain(event), repeat: String(headers["webhook-id"]) }]
}

function readBatch(body: Buffer): Received[] {
  const batch = new JsonDecoder().decodeBatch(body, 1_000)
  if (batch.kind !== "events") throw new Error(batch.kind)
  return batch.items.map((event) => {
    if (!(event instanceof Event)) throw new Error(event.detail)
    const { attributes, data } = plain(event)
    const { redcardelivery: repeat = "", ...own } = attributes
    return { attributes: own, data, repeat }
  })
}

destinationConformance("a webhook in binary mode", () => harness({}))
destinationConformance("a webhook in structured mode", () => harness({ mode: "structured" }))
destinationConformance("an unsigned webhook", () => harness({ signing: "none" }))
destinationConformance("a webhook that takes batches", () => harness({ batch: {} }))
