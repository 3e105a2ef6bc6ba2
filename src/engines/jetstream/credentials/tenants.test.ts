import { jetstream } from "@nats-io/jetstream"
import { encodeUser, fmtCreds } from "@nats-io/jwt"
import { Kvm } from "@nats-io/kv"
import { type NatsConnection, PermissionViolationError } from "@nats-io/nats-core"
import { createUser, fromPublic } from "@nats-io/nkeys"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { IssuedCredentials } from "../../../core/credentials.ts"
import { natsAvailable } from "../../../testing/nats.ts"
import { type NatsSetup, openNatsSetup } from "./nats-setup.fixture.ts"
import type { TenantAccount } from "./tenant-account.ts"

const hourMs = 3_600_000
type Issued = Extract<IssuedCredentials, { kind: "issued" }>

/** What only the other tenant may ever see. */
const secret = "what beta alone may see"

let setup: NatsSetup
/** Two clients of one tenant: as they are issued, and one whose rights within the tenant's account nothing limits. */
let acme: NatsConnection
let unbound: NatsConnection
let beta: NatsConnection
let issued: { readonly acme: Issued; readonly beta: Issued }

async function issue(tenant: string, consumer?: string): Promise<Issued> {
  const answer = await setup.credentials.issue(tenant, {
    expiresInMs: hourMs,
    ...(consumer !== undefined && { consumer }),
  })
  if (answer.kind !== "issued") throw new Error(answer.reason)
  return answer
}

/** Credentials that no issuer of ours makes: any right that the account itself has. */
async function issueUnbound(tenant: string): Promise<string> {
  const { value } = (await setup.catalog.get<TenantAccount>(`nats-account/${tenant}`))!
  const user = createUser()
  const jwt = await encodeUser("unbound", user, fromPublic(value.account), {}, { signer: setup.issuer.signer })
  return new TextDecoder().decode(fmtCreds(jwt, user))
}

/** What an answer says, or the name of the error instead of one. */
async function ask(client: NatsConnection, subject: string, body = ""): Promise<string> {
  try {
    return (await client.request(subject, body, { timeout: 500, noMux: true })).string()
  } catch (error) {
    const { cause, name } = error as Error
    return cause instanceof PermissionViolationError ? cause.name : name
  }
}

/** Everything in the servers that a client could have changed. */
async function state(): Promise<unknown> {
  const streams = []
  for await (const { config, state } of setup.manager.streams.list()) {
    const consumers = []
    for await (const { name, config: own, delivered, ack_floor, num_ack_pending } of setup.manager.consumers.list(
      config.name,
    ))
      consumers.push([name, own, delivered.stream_seq, ack_floor.stream_seq, num_ack_pending])
    streams.push([config, state.messages, state.first_seq, state.last_seq, consumers])
  }
  return JSON.stringify(streams, null, 1)
}

const log = "REDCAR_LOG_0"

/** Requests of JetStream that would read, make, change or remove what is not acme's. */
function trespasses(): readonly (readonly [subject: string, body?: object])[] {
  const config = (more: object) => ({
    stream_name: log,
    config: { ack_policy: "none", deliver_policy: "all", mem_storage: true, ...more },
  })
  return [
    // Consumers with any filter, none, several; of each way there is to make one; and pushed to where it should not.
    [`CONSUMER.CREATE.${log}`, config({})],
    [`CONSUMER.CREATE.${log}.spy`, config({ name: "spy" })],
    [`CONSUMER.CREATE.${log}.spy.redcar.beta.>`, config({ name: "spy", filter_subject: "redcar.beta.>" })],
    [`CONSUMER.CREATE.${log}.spy.redcar.acme.>`, config({ name: "spy", filter_subject: "redcar.beta.>" })],
    [`CONSUMER.CREATE.${log}.spy`, config({ name: "spy", filter_subjects: ["redcar.acme.>", "redcar.beta.>"] })],
    [`CONSUMER.DURABLE.CREATE.${log}.spy`, config({ durable_name: "spy" })],
    [
      `CONSUMER.CREATE.${log}.tenant_acme.redcar.acme.>`,
      config({ durable_name: "tenant_acme", filter_subject: "redcar.acme.>", deliver_subject: "redcar.beta.orders" }),
    ],
    [`CONSUMER.CREATE.${log}.tenant_beta`, config({ durable_name: "tenant_beta", filter_subject: "redcar.acme.>" })],
    // Consumers of others.
    [`CONSUMER.INFO.${log}.tenant_beta`],
    [`CONSUMER.MSG.NEXT.${log}.tenant_beta`, { batch: 10, no_wait: true }],
    [`CONSUMER.MSG.NEXT.*.tenant_beta`, { batch: 10, no_wait: true }],
    [`CONSUMER.DELETE.${log}.tenant_beta`],
    [`CONSUMER.PAUSE.${log}.tenant_beta`, { pause_until: "2100-01-01T00:00:00Z" }],
    [`CONSUMER.RESET.${log}.tenant_beta`, { seq: 100 }],
    [`CONSUMER.UNPIN.${log}.tenant_beta`, { group: "g" }],
    [`CONSUMER.NAMES.${log}`],
    [`CONSUMER.LIST.${log}`],
    // Single events: by place, by subject, several at once.
    [`DIRECT.GET.${log}`, { seq: 2 }],
    [`DIRECT.GET.${log}`, { last_by_subj: "redcar.beta.orders" }],
    [`DIRECT.GET.${log}`, { multi_last: ["redcar.beta.>"], batch: 10 }],
    [`DIRECT.GET.${log}.redcar.beta.orders`],
    [`DIRECT.GET.${log}.redcar.*.orders`],
    [`DIRECT.GET.${log}.redcar.acme.orders`, { seq: 2 }],
    [`DIRECT.GET.${log}.redcar.acme.orders`, { last_by_subj: "redcar.beta.orders" }],
    [`DIRECT.GET.${log}.redcar.acme.orders`, { multi_last: ["redcar.beta.>"], batch: 10 }],
    ["DIRECT.GET.KV_redcar_catalog.$KV.redcar_catalog.key.admin"],
    [`STREAM.MSG.GET.${log}`, { seq: 2 }],
    [`STREAM.MSG.GET.${log}`, { last_by_subj: "redcar.beta.orders" }],
    ["STREAM.MSG.GET.KV_redcar_catalog", { seq: 1 }],
    // Streams.
    [`STREAM.INFO.${log}`],
    ["STREAM.NAMES"],
    ["STREAM.LIST"],
    ["STREAM.CREATE.SPY", { name: "SPY", subjects: ["spy"], sources: [{ name: log }] }],
    ["STREAM.CREATE.SPY", { name: "SPY", mirror: { name: log } }],
    [`STREAM.UPDATE.${log}`, { name: log, subjects: ["redcar.acme.>"] }],
    [`STREAM.PURGE.${log}`, { filter: "redcar.beta.>" }],
    [`STREAM.PURGE.${log}`],
    [`STREAM.MSG.DELETE.${log}`, { seq: 2 }],
    [`STREAM.DELETE.${log}`],
    [`STREAM.SNAPSHOT.${log}`, { deliver_subject: "_INBOX.snapshot" }],
    [`STREAM.LEADER.STEPDOWN.${log}`],
  ]
}

const subscriptions = [
  ">",
  "redcar.>",
  "redcar.*.>",
  "redcar.beta.>",
  "redcar.beta.orders",
  "_redcar.>",
  "$KV.>",
  "$JS.>",
  "$JS.ACK.>",
  "$JS.EVENT.>",
  "$SYS.>",
  "_R_.>",
]

/** Where nothing of acme's may ever arrive. */
const forbidden = [
  "redcar.beta.orders",
  "redcar.beta.orders.k1",
  "_redcar.log.0.beta.orders",
  "_redcar.log.0.acme.orders",
  "_redcar.queue.0",
  "_redcar.rpc.queue.0",
  "$KV.redcar_catalog.key.admin",
]

const program = natsAvailable()
const title = program === undefined ? "tenant streams: SKIPPED, there is no nats-server here" : "tenant streams"

describe.skipIf(program === undefined)(title, () => {
  beforeAll(async () => {
    setup = await openNatsSetup()
    issued = { acme: await issue("acme"), beta: await issue("beta") }
    acme = await setup.connect(issued.acme.text)
    unbound = await setup.connect(await issueUnbound("acme"))
    beta = await setup.connect(issued.beta.text)
    await setup.store(0, "acme.orders", "acme 1")
    await setup.store(0, "beta.orders", secret)
    await setup.store(1, "acme.users.k1", "acme 2")
    await setup.store(1, "beta.orders.k1", secret)
    await (await new Kvm(setup.hub).open("redcar_catalog")).put("key.admin", secret)
  })
  afterAll(async () => {
    await Promise.all([acme, unbound, beta].map((client) => client?.close()))
    await setup?.close()
  })

  /** Each way of trespassing, as credentials are issued, and past the limits of the user. */
  const clients = [
    ["as issued", () => acme],
    ["with all that its account has", () => unbound],
  ] as const

  test("a tenant publishes on its subjects, and is told that it is stored", async () => {
    const before = (await setup.manager.streams.info("REDCAR_INBOX")).state.messages
    const answer = await jetstream(acme).publish("redcar.acme.orders.k7", "hello", { msgID: "acme-7" })
    expect(answer.stream).toBe("REDCAR_INBOX")
    const { subject, data } = (await setup.manager.streams.getMessage("REDCAR_INBOX", { seq: answer.seq }))!
    expect([subject, new TextDecoder().decode(data)]).toEqual(["redcar.acme.orders.k7", "hello"])
    expect((await setup.manager.streams.info("REDCAR_INBOX")).state.messages).toBe(before + 1)
  })

  test("a tenant reads its events on every stream, settles them, and reads the last of a subject", async () => {
    const reader = await issue("acme", "reader")
    const client = await setup.connect(reader.text)
    const js = jetstream(client, { domain: "redcar" })
    const read: string[] = []
    for (const stream of reader.streams) {
      const consumer = await js.consumers.get(stream, reader.consumer)
      const message = (await consumer.next({ expires: 2_000 }))!
      read.push(`${message.subject} ${message.string()}`)
      expect(await message.ackAck()).toBe(true)
      expect(await consumer.next({ expires: 1_000 })).toBeNull()
      expect(await consumer.info()).toMatchObject({ num_ack_pending: 0, num_pending: 0 })
    }
    expect(read.sort()).toEqual(["redcar.acme.orders acme 1", "redcar.acme.users.k1 acme 2"])
    expect(await ask(client, `$JS.redcar.API.DIRECT.GET.${log}.redcar.acme.orders`)).toBe("acme 1")
    // What another consumer of the same tenant reads is not this client's.
    expect(await ask(client, `$JS.redcar.API.CONSUMER.MSG.NEXT.${log}.tenant_acme`)).toBe("PermissionViolationError")
    await client.close()
  })

  test.each(clients)("a client %s asks JetStream for nothing of another tenant", async (kind, client) => {
    const before = await state()
    for (const api of ["$JS.API", "$JS.redcar.API"]) {
      const answers = await Promise.all(
        trespasses().map(async ([request, body]) => {
          const answer = await ask(client(), `${api}.${request}`, body === undefined ? "" : JSON.stringify(body))
          return [`${api}.${request}`, answer] as const
        }),
      )
      for (const [request, answer] of answers) {
        expect(answer, request).not.toContain(secret)
        // A refusal by the servers, and nothing like an answer.
        expect(answer, request).toMatch(/^(\w*Error|)$|"error":|"(streams|consumers)":(null|\[\])/)
        const own = request.includes(".redcar.acme.orders") && request.startsWith("$JS.redcar.")
        if (kind === "as issued" && !own) expect([request, answer]).toEqual([request, "PermissionViolationError"])
      }
    }
    expect(await state()).toBe(before)
  })

  test("a client is not let in to subscribe to anything but its answers", async () => {
    for (const subject of subscriptions) {
      const subscription = acme.subscribe(subject)
      const closed = await subscription.closed
      expect(closed, subject).toBeInstanceOf(PermissionViolationError)
    }
  })

  test("whoever listens to all there is in a tenant's account hears nothing of the hub's or another's", async () => {
    const heard: string[] = []
    for (const subject of [...subscriptions, "_INBOX.>"]) {
      unbound.subscribe(subject, {
        callback: (_, message) => void heard.push(`${message.subject} ${message.string()}`),
      })
    }
    await unbound.flush()
    await setup.store(0, "beta.orders", secret)
    await jetstream(beta).publish("redcar.beta.orders", secret)
    expect(await ask(beta, `$JS.redcar.API.DIRECT.GET.${log}.redcar.beta.orders`)).toBe(secret)
    await (await new Kvm(setup.hub).open("redcar_catalog")).put("key.admin", secret)
    setup.hub.publish("_redcar.rpc.queue.0", secret)
    await setup.hub.flush()
    await beta.flush()
    // Of its own account it hears everything, so the silence above is not of deaf ears.
    unbound.publish("redcar.acme.heard", "own")
    await unbound.flush()
    await expect.poll(() => heard.join()).toContain("redcar.acme.heard own")
    expect(heard.filter((each) => each.includes(secret))).toEqual([])
    expect(heard.filter((each) => /redcar\.beta|_redcar|\$KV/.test(each))).toEqual([])
    await unbound.close()
    unbound = await setup.connect(await issueUnbound("acme"))
  })

  test.each(clients)("a client %s publishes nowhere else", async (_, client) => {
    const spied: string[] = []
    const spy = setup.hub.subscribe("_redcar.>", { callback: (_, message) => void spied.push(message.subject) })
    await setup.hub.flush()
    const before = await state()
    for (const subject of forbidden) client().publish(subject, "forged")
    await client().flush()
    expect(await state()).toBe(before)
    await setup.hub.flush()
    expect(spied).toEqual([])
    spy.unsubscribe()
  })

  test.each(clients)("a client %s has the servers answer nowhere else", async (kind, client) => {
    // What the servers send in answer is not held to the rights of who asked: an account of one's own holds it.
    const spied: string[] = []
    const spies = ["_redcar.>", "$KV.>", "redcar.beta.>"].map((subject) =>
      setup.hub.subscribe(subject, { callback: (_, message) => void spied.push(message.subject) }),
    )
    await setup.hub.flush()
    const held = async () => {
      const [inbox, catalog, queue] = await Promise.all(
        ["REDCAR_INBOX", "KV_redcar_catalog", "REDCAR_QUEUE_0"].map((name) =>
          setup.manager.streams.info(name, { subjects_filter: ">" }),
        ),
      )
      return [inbox!.state.subjects?.["redcar.beta.orders"], catalog!.state.last_seq, queue!.state.last_seq]
    }
    const before = await held()
    const { last_seq } = (await setup.manager.streams.info(log)).state
    const api = "$JS.redcar.API"
    for (const reply of forbidden) {
      client().publish("redcar.acme.orders", "forged", { reply })
      client().publish(`${api}.DIRECT.GET.${log}.redcar.acme.orders`, "", { reply })
      client().publish(`${api}.CONSUMER.INFO.${log}.tenant_acme`, "", { reply })
      client().publish(`${api}.CONSUMER.MSG.NEXT.${log}.tenant_acme`, '{"batch":1,"no_wait":true}', { reply })
      client().publish(`$JS.ACK.${log}.tenant_acme.1.1.1.1.0`, "+NXT", { reply })
    }
    await client().flush()
    // Answers to these come after those to the others, of the same streams.
    const late = kind === "as issued" ? acme : unbound
    await jetstream(late).publish("redcar.acme.orders", "last")
    await ask(late, `${api}.CONSUMER.INFO.${log}.tenant_acme`)
    await setup.hub.flush()
    expect(await held()).toEqual(before)
    expect((await setup.manager.streams.info(log)).state.last_seq).toBe(last_seq)
    expect(spied).toEqual([])
    // In the hub's account the same does come through, and these ears hear it.
    setup.hub.publish("redcar.acme.orders", "one", { reply: "redcar.beta.heard" })
    await expect.poll(() => spied).toEqual(["redcar.beta.heard"])
    for (const spy of spies) spy.unsubscribe()
  })

  test.each(clients)("a client %s settles nothing of another tenant", async (_, client) => {
    const next = `$JS.redcar.API.CONSUMER.MSG.NEXT.${log}.${issued.beta.consumer}`
    const message = await beta.request(next, '{"batch":1,"expires":2000000000}', { timeout: 2_500, noMux: true })
    expect([message.string(), message.reply]).toEqual([secret, expect.stringMatching(/^\$JS\.ACK\./)])
    const pending = async () => (await setup.manager.consumers.info(log, issued.beta.consumer)).num_ack_pending
    for (const settlement of ["+ACK", "-NAK", "+TERM", "+WPI", "+NXT"]) client().publish(message.reply!, settlement)
    await client().flush()
    expect(await pending()).toBe(1)
    await beta.request(message.reply!, "+ACK")
    expect(await pending()).toBe(0)
    await setup.store(0, "beta.orders", secret)
  })

  test("credentials past their time are refused, and those in use end with it", async () => {
    const past = await setup
      .credentialsAt({ now: () => Date.now() - hourMs })
      .issue("acme", { expiresInMs: hourMs - 10_000 })
    if (past.kind !== "issued") throw new Error(past.reason)
    await expect(setup.connect(past.text)).rejects.toThrow(/authorization|expired/i)

    const brief = await setup.credentials.issue("acme", { expiresInMs: 1_500 })
    if (brief.kind !== "issued") throw new Error(brief.reason)
    const client = await setup.connect(brief.text)
    expect(String(await client.closed())).toMatch(/expired/i)
    expect(Date.now()).toBeGreaterThanOrEqual(brief.expiresAt - 1_000)
  })

  test("credentials that are revoked end at once, and new ones go on where they ended", async () => {
    expect(await setup.credentials.revoke("nobody")).toEqual({ kind: "unknown" })
    const old = await issue("gone")
    const client = await setup.connect(old.text)
    const closed = client.closed()
    expect(await setup.credentials.revoke("gone")).toEqual({ kind: "revoked" })
    expect(await closed).toBeInstanceOf(Error)
    await expect(setup.connect(old.text)).rejects.toThrow(/authorization/i)
    expect(acme.isClosed()).toBe(false)

    const renewed = await setup.connect((await issue("gone")).text)
    expect((await jetstream(renewed).publish("redcar.gone.orders", "back")).stream).toBe("REDCAR_INBOX")
    await expect(setup.connect(old.text)).rejects.toThrow(/authorization/i)
    await renewed.close()
  })
})
