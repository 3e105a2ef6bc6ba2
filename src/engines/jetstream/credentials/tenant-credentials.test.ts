import { jetstream } from "@nats-io/jetstream"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { IssuedCredentials } from "../../../core/credentials.ts"
import { OverloadError } from "../../../core/errors.ts"
import { systemClock } from "../../../telemetry/clock.ts"
import { natsAvailable, startNats } from "../../../testing/nats.ts"
import { createNames } from "../names.ts"
import { announceAccount } from "./announce.ts"
import { createNatsFiles } from "./init.ts"
import { formatIssuer, IssuerFileError, parseIssuer } from "./issuer.ts"
import { type NatsSetup, openNatsSetup } from "./nats-setup.fixture.ts"
import { consumersMax, createTenantCredentials } from "./tenant-credentials.ts"

const hourMs = 3_600_000
const server = { name: "nats", host: "127.0.0.1", listen: "127.0.0.1:4222", directory: "data" }

function expectIssued(answer: IssuedCredentials) {
  if (answer.kind !== "issued") throw new Error(answer.reason)
  return answer
}

const program = natsAvailable()
const title =
  program === undefined ? "credentials of tenants: SKIPPED, there is no nats-server" : "credentials of tenants"

describe.skipIf(program === undefined)(title, () => {
  let setup: NatsSetup
  beforeAll(async () => {
    setup = await openNatsSetup()
  })
  afterAll(() => setup?.close())

  test("say what they are for, and are good until they said", async () => {
    const at = Date.UTC(2050, 0, 1)
    const issued = expectIssued(await setup.credentialsAt({ now: () => at }).issue("acme", { expiresInMs: hourMs }))
    expect(issued).toMatchObject({
      expiresAt: at + hourMs,
      subject: "redcar.acme.>",
      consumer: "tenant_acme",
      streams: ["REDCAR_LOG_0", "REDCAR_LOG_1"],
    })
    expect(issued.text).toContain("tenant acme; good until 2050-01-01T01:00:00.000Z")
  })

  test("of consumers that two processes issue at once all work", async () => {
    const other = setup.credentialsAt(systemClock)
    const issued = await Promise.all(
      ["a", "b", "c", "d"].map((consumer, i) =>
        (i % 2 === 0 ? setup.credentials : other).issue("many", { consumer, expiresInMs: hourMs }),
      ),
    )
    await setup.store(0, "many.orders", "one")
    for (const each of issued.map(expectIssued)) {
      const client = await setup.connect(each.text)
      const consumer = await jetstream(client, { domain: "redcar" }).consumers.get("REDCAR_LOG_0", each.consumer)
      expect((await consumer.next({ expires: 2_000 }))?.string()).toBe("one")
      await client.close()
    }
  })

  test("issued again leave the consumer where it was", async () => {
    await setup.store(0, "twice.orders", "first")
    await setup.store(0, "twice.orders", "second")
    const read = async () => {
      const issued = expectIssued(await setup.credentials.issue("twice", { expiresInMs: hourMs }))
      const client = await setup.connect(issued.text)
      const consumer = await jetstream(client, { domain: "redcar" }).consumers.get("REDCAR_LOG_0", issued.consumer)
      const message = (await consumer.next({ expires: 2_000 }))!
      await message.ackAck()
      await client.close()
      return message.string()
    }
    expect([await read(), await read()]).toEqual(["first", "second"])
  })

  test("a tenant has no more consumers than there may be", async () => {
    const consumers = Array.from({ length: consumersMax }, (_, i) => `tenant_full_${i}`)
    const account = expectIssued(await setup.credentials.issue("full", { expiresInMs: hourMs }))
    const { value, revision } = (await setup.catalog.get<object>("nats-account/full"))!
    await setup.catalog.put("nats-account/full", { ...value, consumers }, revision)
    expect(account.consumer).toBe("tenant_full")
    const answer = await setup.credentials.issue("full", { consumer: "more", expiresInMs: hourMs })
    expect(answer).toEqual({ kind: "refused", reason: "full has 32 consumers already" })
  })

  test.each(["", "a.b", "a_b", "*", ">", "A", "a b", "-a", "a".repeat(64)])("no tenant is called %j", async (name) => {
    await expect(setup.credentials.issue(name, { expiresInMs: hourMs })).rejects.toThrow(TypeError)
    await expect(setup.credentials.issue("acme", { consumer: name, expiresInMs: hourMs })).rejects.toThrow(TypeError)
  })

  test("an issuer of other servers is refused", async () => {
    const files = await createNatsFiles({ names: setup.names, servers: [server] })
    const issuer = parseIssuer(files.get("issuer.json")!)
    const { hub: nats, names, partitions, catalog } = setup
    const servers = setup.nats.url.split(",")
    const stranger = createTenantCredentials({ nats, servers, names, partitions, catalog, issuer, clock: systemClock })
    const issuing = stranger.issue("acme", { expiresInMs: hourMs })
    await expect(issuing).rejects.toThrow(OverloadError)
    await expect(issuing).rejects.toThrow(/is it one of theirs\?/)
  })
})

describe.skipIf(program === undefined)(`${title}, in a cluster of three`, () => {
  let setup: NatsSetup
  beforeAll(async () => {
    setup = await openNatsSetup(3)
  }, 60_000)
  afterAll(() => setup?.close())

  test("work at each server, whichever leads", async () => {
    const issued = expectIssued(await setup.credentials.issue("acme", { expiresInMs: hourMs }))
    for (const [i, { url }] of setup.nats.servers.entries()) {
      await setup.store(0, "acme.orders", `event ${i}`)
      const client = await setup.connect(issued.text, url)
      expect((await jetstream(client).publish("redcar.acme.orders", "hello")).stream).toBe("REDCAR_INBOX")
      const consumer = await jetstream(client, { domain: "redcar" }).consumers.get("REDCAR_LOG_0", issued.consumer)
      const message = (await consumer.next({ expires: 5_000 }))!
      expect(message.string()).toBe(`event ${i}`)
      expect(await message.ackAck()).toBe(true)
      await client.close()
    }
  })
})

describe.skipIf(program === undefined)(`${title}, on servers that keep no accounts`, () => {
  test("are refused, with what to set", async () => {
    const names = createNames("redcar")
    const files = await createNatsFiles({ names, servers: [server] })
    const nats = await startNats({ config: `resolver: MEMORY\n${files.get("accounts.conf")}` })
    try {
      const { systemCredentials } = parseIssuer(files.get("issuer.json")!)
      expect(await announceAccount([nats.url], systemCredentials, "none")).toEqual({
        reason: expect.stringMatching(/resolver \{ type: full/),
      })
    } finally {
      await nats.stop()
    }
  })
})

describe("an issuer's file", () => {
  test("is read as it was written", async () => {
    const files = await createNatsFiles({ names: createNames("redcar"), servers: [server] })
    const text = files.get("issuer.json")!
    expect(formatIssuer(parseIssuer(text))).toBe(text)
  })

  test("that is none is refused, and the refusal tells no secret", async () => {
    const files = await createNatsFiles({ names: createNames("redcar"), servers: [server] })
    const good = JSON.parse(files.get("issuer.json")!) as Record<string, string>
    const { operatorSeed, accountSeed } = good
    const wrong = [
      "SOABC",
      "[]",
      JSON.stringify({ ...good, operatorSeed: accountSeed }),
      JSON.stringify({ ...good, accountSeed: `${accountSeed!.slice(0, -1)}x` }),
      JSON.stringify({ ...good, account: "B" }),
      JSON.stringify({ operatorSeed, accountSeed, account: good.account }),
    ]
    for (const text of wrong) {
      const parse = () => parseIssuer(text)
      expect(parse, text.slice(0, 20)).toThrow(IssuerFileError)
      expect(parse).toThrow(expect.objectContaining({ next: [expect.stringContaining("redcar nats init")] }))
      expect(parse).not.toThrow(operatorSeed)
      expect(parse).not.toThrow(accountSeed)
    }
  })
})
