import { jetstream, jetstreamManager, StorageType } from "@nats-io/jetstream"
import { connect, headers, type MsgHdrs, type NatsConnection } from "@nats-io/transport-node"
import { nextId } from "./requests.ts"

/** A stream of a client that does nothing but publish and consume, as its makers mean it to be used. */
export interface BareNats {
  /** `js.publish`: resolves when it is acknowledged. */
  publish(): Promise<unknown>
  /** The same with an inbox of our own, and no reading of the acknowledgement beyond whether it is one. */
  publishRaw(): Promise<unknown>
  /** The same, with an id by which the servers recognise a repeated one: what it takes to try again. */
  publishOnce(): Promise<unknown>
  /** Messages per second of an ordered consumer, from the first of the stream, over so many of them. */
  consume(messages: number): Promise<number>
  close(): Promise<void>
}

export interface BareOptions {
  readonly url: string
  readonly replicas: number
  readonly payload: Uint8Array
}

export async function openBareNats({ url, replicas, payload }: BareOptions): Promise<BareNats> {
  const connection = await connect({ servers: url.split(",") })
  const [name, subject] = ["BARE", "bare.bench"]
  const manager = await jetstreamManager(connection)
  await manager.streams.add({ name, subjects: [subject], num_replicas: replicas, storage: StorageType.File })
  const client = jetstream(connection)
  const raw = rawPublisher(connection, subject, payload)
  const id = nextId()
  return {
    publish: () => client.publish(subject, payload),
    publishRaw: () => raw(),
    publishOnce: () => {
      const sent = headers()
      sent.set("Nats-Msg-Id", id())
      return raw(sent)
    },
    async consume(messages) {
      const consumer = await client.consumers.get(name)
      const startedAt = performance.now()
      let count = 0
      for await (const message of await consumer.consume({ max_messages: 10_000 })) {
        count += message.data.length > 0 ? 1 : 0
        if (count === messages) break
      }
      return (count / (performance.now() - startedAt)) * 1000
    },
    close: () => connection.close(),
  }
}

type RawPublish = (headers?: MsgHdrs) => Promise<void>

/** `+ACK` or `{"stream":…}` is an acknowledgement; `{"error":…}` is none. */
const errorStart = Buffer.from('{"error"')

function rawPublisher(connection: NatsConnection, subject: string, payload: Uint8Array): RawPublish {
  const inbox = `_INBOX.bare${process.pid}.`
  const waiting = new Map<string, PromiseWithResolvers<void>>()
  let number = 0
  connection.subscribe(`${inbox}*`, {
    callback(error, message) {
      const { subject, data } = message
      const one = waiting.get(subject)
      waiting.delete(subject)
      if (error || errorStart.equals(data.subarray(0, errorStart.length))) one?.reject(error ?? new Error("refused"))
      else one?.resolve()
    },
  })
  return (headers) => {
    const reply = `${inbox}${number++}`
    const one = Promise.withResolvers<void>()
    waiting.set(reply, one)
    connection.publish(subject, payload, { reply, ...(headers && { headers }) })
    return one.promise
  }
}
