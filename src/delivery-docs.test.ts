import { execFileSync } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { decodeJwt } from "jose"
import { afterAll, expect, test } from "vitest"
import { HubIdentity } from "./access/identity/identity.ts"
import { aheadMs, behindMs, keyAgeMs, tokenMs } from "./access/identity/schedule.ts"
import { runCli } from "./cli/terminal.fixture.ts"
import { type Address, formatTopic } from "./core/address.ts"
import type { Cursor } from "./core/cursor.ts"
import { deadReasons } from "./core/delivery.ts"
import { Event } from "./core/event.ts"
import { hopsMax } from "./core/hops.ts"
import type { SigningKey, Trigger } from "./core/resources.ts"
import { noSecrets } from "./core/secrets.ts"
import { breakerLimits, signOf } from "./deliver/breaker.ts"
import { deliveryLimits } from "./deliver/hub.ts"
import { defaultRetry, retryPresets } from "./deliver/policies.ts"
import { Replies, replyEventsMax } from "./deliver/replies.ts"
import { createSigner, issueSigningKey, rotate } from "./destinations/signing.ts"
import { bodyKeptBytes, outcomeOf } from "./destinations/webhook/answer.ts"
import { batchBodyKeptBytes, batchLimits, batchSentOf } from "./destinations/webhook/batch.ts"
import { connectTimeoutDefaultMs, timeoutDefaultMs, type WebhookConfig } from "./destinations/webhook/config.ts"
import { createEncode, createEncodeBatch, headBytesMax } from "./destinations/webhook/encode.ts"
import { decodeReply } from "./destinations/webhook/reply.ts"
import { retryAfterMaxMs } from "./destinations/webhook/retry-after.ts"
import { openEmbeddedDirectory } from "./engines/embedded/engine.ts"
import { encodeEvent } from "./formats/json-encode.ts"
import { systemClock } from "./telemetry/clock.ts"
import { createSimulatedChance } from "./testing/chance.ts"

const page = readFileSync(new URL("../docs/delivery.md", import.meta.url), "utf8")
const words = page.replaceAll(/\s+/g, " ")
const folder = mkdtempSync(join(tmpdir(), "redcar-verify-"))
afterAll(() => rmSync(folder, { recursive: true }))

/** The page's block with this heading. */
function block(heading: string): string {
  const found = new RegExp(`^\`\`\`${heading}\n([\\s\\S]*?)^\`\`\`$`, "m").exec(page)
  expect(found, heading).not.toBeNull()
  return found![1]!
}

/** The rows of the table whose head begins with this cell. */
function rows(head: string): readonly (readonly string[])[] {
  const table = page.slice(page.indexOf(`| ${head} |`)).split("\n\n")[0]!
  const cells = table.split("\n").map((line) => line.split("|").slice(1, -1))
  return cells.slice(2).map((row) => row.map((cell) => cell.trim()))
}

/** Seconds as `2h5m10s`. */
function span(ms: number): string {
  const parts = [Math.floor(ms / 3_600_000), Math.floor(ms / 60_000) % 60, Math.floor(ms / 1_000) % 60]
  return parts.map((count, i) => (count > 0 ? `${count}${"hms"[i]}` : "")).join("")
}

test("each status means what the table says", () => {
  const table = rows("status")
  const means = { done: "delivered", "tried again": "failed", "the destination is gone": "gone" } as const
  for (let status = 200; status <= 599; status++) {
    const answer = { status, reason: "", headers: {}, body: Buffer.alloc(0), bodyTruncated: false }
    const outcome = outcomeOf(answer, 0)
    const kind = outcome.kind === "failed" && outcome.gone ? "gone" : outcome.kind
    const row = table.find(([which]) => {
      const [from, to = from] = which!.split("–").map(Number)
      return from! <= status && status <= to!
    })!
    expect([status, means[row[1]!.split(/[;:]/)[0] as keyof typeof means]]).toEqual([status, kind])
    expect([status, row[2]]).toEqual([status, signOf(outcome) === "down" ? "yes" : "no"])
  }
  expect(signOf({ kind: "failed", detail: "", permanent: false })).toBe("down")
  expect(table.at(-1)!.slice(0, 1)).toEqual(["none"])
})

test("each preset is tried at the times that the table says", () => {
  const shown = new Map(rows("preset").map(([name, ...cells]) => [name, cells]))
  expect([...shown.keys()].sort()).toEqual(
    Object.keys(retryPresets)
      .map((name) => `\`${name}\``)
      .sort(),
  )
  for (const [name, { delaysMs, attemptsMax, ageMaxMs, jitter }] of Object.entries(retryPresets)) {
    const times: number[] = []
    for (let n = 1, at = 0; n < attemptsMax; n++) {
      at += delaysMs[Math.min(n, delaysMs.length) - 1]!
      if (at > ageMaxMs) break
      times.push(at)
    }
    const listed = times.slice(0, delaysMs.length)
    const repeats = times.length > listed.length ? [`then every ${span(delaysMs.at(-1)!)}`] : []
    const text = [...listed.map(span), ...repeats].join(", ") || "never"
    const figures = [text, String(times.length + 1), span(ageMaxMs), String(jitter)]
    expect([name, shown.get(`\`${name}\``)]).toEqual([name, figures])
  }
  expect(words).toContain(`\`${defaultRetry}\` is what a trigger has that says nothing`)
})

test("the presets are drawn as the policies are", () => {
  const [marks, ...lines] = block("text timeline").split("\n")
  const drawn = Object.fromEntries(lines.filter(Boolean).map((line) => line.split(/\s+/)))
  const longest = Math.max(...Object.values(retryPresets).map(({ ageMaxMs }) => ageMaxMs))
  const column = (ms: number) => Math.round((Math.log10(1 + ms / 1_000) / Math.log10(1 + longest / 1_000)) * 69)
  for (const [name, { delaysMs, attemptsMax, ageMaxMs }] of Object.entries(retryPresets)) {
    const line = Array<string>(column(ageMaxMs) + 1).fill("·")
    for (let n = 1, at = 0; n <= attemptsMax && at <= ageMaxMs; n++) {
      line[column(at)] = "●"
      at += delaysMs[Math.min(n, delaysMs.length) - 1] ?? 0
    }
    expect([name, drawn[name]]).toEqual([name, `${line.join("")}┤`])
  }
  const margin = lines[0]!.indexOf("●")
  for (const [text, seconds] of [
    ["1m", 60],
    ["1h", 3_600],
    ["3d", 259_200],
  ] as const)
    expect([text, marks!.indexOf(text) - margin]).toEqual([text, column(seconds * 1_000)])
})

test("each promise names what holds it, which is there", () => {
  const table = page.slice(page.indexOf("| promised | not promised | held by |")).split("\n\n")[0]!
  const holders = [...table.matchAll(/`((?:src|sim)\/[\w./-]+\.ts)`/g)].map(([, file]) => file!)
  const lines = table.split("\n").slice(2)
  expect(lines.length).toBeGreaterThan(10)
  for (const line of lines) expect(line).toMatch(/`(?:src|sim)\//)
  for (const file of holders) expect([file, existsSync(new URL(`../${file}`, import.meta.url))]).toEqual([file, true])
})

test("the numbers in its sentences are the code's", () => {
  const { failuresMax, delayMinMs, delayMaxMs } = breakerLimits
  expect(words).toContain(`After ${failuresMax} failures in a row`)
  expect(words).toContain(`after ${delayMinMs / 1_000} s one delivery probes it`)
  expect(words).toContain(`up to ${delayMaxMs / 60_000} min`)
  expect(words).toContain(`more than ${retryAfterMaxMs / 3_600_000} h count as`)
  expect(deliveryLimits.restMsMax).toBe(retryAfterMaxMs)
  expect(words).toContain(`more than ${headBytesMax / 1024} KiB of headers`)
  expect(words).toContain(`first ${bodyKeptBytes / 1024} KiB`)
  expect(words).toContain(`\`connectTimeoutMs\` (${connectTimeoutDefaultMs / 1_000} s)`)
  expect(words).toContain(`\`timeoutMs\` (${timeoutDefaultMs / 1_000} s)`)
  expect(words).toContain(`forwarded ${hopsMax} times`)
  expect(
    rows("reason")
      .map(([reason]) => reason)
      .sort(),
  ).toEqual(deadReasons.map((reason) => `\`${reason}\``).sort())
})

const key: SigningKey = {
  id: "k",
  scheme: "v1",
  secret: `whsec_${Buffer.alloc(32, 7).toString("base64")}`,
  createdAt: 0,
}

test.each(["binary", "structured"] as const)("a webhook in %s mode is what is shown", (mode) => {
  const data = new TextEncoder().encode('{"total":120}')
  const known = { specversion: "1.0", id: "7", source: "/shop", type: "order.paid", time: "2026-03-01T12:00:00Z" }
  const event = Event.of({ ...known, datacontenttype: "application/json" }, data, "json")
  const cursor = "000000000ko" as Cursor
  const of = { tenant: "default", trigger: "paid", incarnation: "mg1abcd0012xyz", destination: "shop", cursor }
  const delivery = { ...of, id: "000000000ko.paid.mg1abcd0012xyz", fingerprint: 0 }
  const stored = { address: { tenant: "default", topic: "orders" }, cursor, storedAt: 0, event }
  const encode = createEncode({ url: "https://example.com/", mode } as WebhookConfig, createSigner([key]))
  const encoded = encode({ stored, delivery, attempt: 1, at: Date.parse("2026-03-01T12:00:00Z") })
  if ("refused" in encoded) throw new Error(encoded.refused)
  const { headers, body } = encoded
  const lines = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1]}`] : []))
  expect(block(`http ${mode}`)).toBe(`${lines.join("\n")}\n\n${new TextDecoder().decode(body!)}\n`)
})

test("a webhook's batch, and an answer to it, are what is shown", () => {
  const data = new TextEncoder().encode('{"total":120}')
  const known = { specversion: "1.0", id: "7", source: "/shop", type: "order.paid", time: "2026-03-01T12:00:00Z" }
  const event = Event.of({ ...known, datacontenttype: "application/json" }, data, "json")
  const at = Date.parse("2026-03-01T12:00:00Z")
  const dispatches = ["000000000ko", "000000000kp"].map((text) => {
    const cursor = text as Cursor
    const of = { tenant: "default", trigger: "paid", incarnation: "mg1abcd0012xyz", destination: "shop", cursor }
    const delivery = { ...of, id: `${cursor}.paid.mg1abcd0012xyz`, fingerprint: 0 }
    return {
      stored: { address: { tenant: "default", topic: "orders" }, cursor, storedAt: 0, event },
      delivery,
      attempt: 1,
      at,
    }
  })
  const encode = createEncodeBatch({ url: "https://example.com/", batch: {} }, createSigner([key]))
  const { headers, body } = encode({ id: "batch_5b0f0c1c2d3e4f5061728394", dispatches: dispatches.slice(0, 1) })
  const lines = headers.flatMap((name, i) => (i % 2 === 0 ? [`${name}: ${headers[i + 1]}`] : []))
  expect(block("http batch")).toBe(`${lines.join("\n")}\n\n${new TextDecoder().decode(body!)}\n`)
  const answer = {
    status: 200,
    reason: "",
    headers: {},
    body: Buffer.from(block("json outcomes")),
    bodyTruncated: false,
  }
  const { each } = batchSentOf(answer, { id: "batch", dispatches }, "each", 0)
  expect(each).toMatchObject([{ kind: "delivered" }, { kind: "failed", detail: "503 the database is locked" }])
  const { eventsMax, bytesMax, waitMs } = batchLimits({})
  expect(words).toContain(
    `\`eventsMax\` events (${eventsMax}; 1,000 at most) or \`bytesMax\` bytes (${bytesMax >> 20} MiB)`,
  )
  expect(words).toContain(`\`waitMs\` (${waitMs}; 10 s at most)`)
  expect(words).toContain(`the answer ${batchBodyKeptBytes} bytes are kept`)
})

test("an identity token says what is shown, and the receiver that is shown takes it and no other", async () => {
  const issuer = "https://hub.example.com"
  const directory = join(folder, "identity")
  const engine = await openEmbeddedDirectory(directory, { clock: systemClock, segmentBytes: 4 << 20 })
  const { catalog } = engine
  const clock = systemClock
  const identity = new HubIdentity({ issuer, catalog, clock, secrets: noSecrets })
  const shown = JSON.parse(block("json claims"))
  const of = { tenant: "default", destination: "shop" }
  const { token } = await identity.issue(of, shown.aud)
  const iat = decodeJwt(token).iat!
  expect(decodeJwt(token)).toEqual({ ...shown, iat, exp: iat + (shown.exp - shown.iat) })
  const keys = JSON.stringify({ keys: await identity.published() })
  const served = createServer((_, response) => response.setHeader("content-type", "application/json").end(keys))
  served.listen(0, "127.0.0.1")
  await once(served, "listening")
  const at = `http://127.0.0.1:${(served.address() as AddressInfo).port}/`
  const code = block("ts identity").replace(/new URL\(.*?\)/, `new URL(${JSON.stringify(at)})`)
  expect(code).toContain(at)
  const file = join(import.meta.dirname, "identity-shown.fixture.ts")
  writeFileSync(file, code)
  try {
    const { check } = (await import(file)) as { check(authorization: string): Promise<void> }
    await check(`Bearer ${token}`)
    const others = [await identity.issue({ ...of, destination: "b" }, shown.aud), await identity.issue(of, "b")]
    for (const { token } of others) await expect(check(`Bearer ${token}`)).rejects.toThrow("claim")
  } finally {
    rmSync(file)
    served.close()
    await engine.close()
  }
  expect(words).toContain(`Every ${keyAgeMs / 86_400_000} days`)
  expect(words).toContain(`and the old one for ${behindMs / 3_600_000} h after`)
  expect([tokenMs, aheadMs]).toEqual([3_600_000, 86_400_000])
})

test("a webhook's reply is published as is shown", async () => {
  const [head, body] = block("http answer").trimEnd().split("\n\n")
  const headers = Object.fromEntries(
    head!
      .split("\n")
      .slice(1)
      .map((line) => line.split(": ")),
  )
  const answer = { status: 200, reason: "OK", headers, body: Buffer.from(body!), bodyTruncated: false }
  const events = decodeReply(answer, replyEventsMax)
  if (typeof events === "string") throw new Error(events)
  const published: { address: Address; event: Event }[] = []
  const id = "000000000ko.paid.mg1abcd0012xyz"
  const trigger = { reply: { topic: "invoices" } } as Trigger
  const log = { get: async () => undefined, last: async () => undefined, read: () => [] as never }
  const replies = new Replies({
    ...{ bytesMax: 1, log, directory: { trigger: () => trigger } },
    async publish(address, events) {
      for (const event of events) published.push({ address, event })
      return events.map(() => ({ cursor: "000000000kp" as Cursor, duplicate: false }))
    },
  })
  const known = {
    tenant: "default",
    trigger: "paid",
    incarnation: "mg1abcd0012xyz",
    destination: "billing",
    fingerprint: 0,
  }
  const event = Event.of({ specversion: "1.0", id: "7", source: "/shop", type: "order.paid" })
  await replies.to({ ...known, id, cursor: "000000000ko" as Cursor }, event).take(events)
  expect(published.map(({ address }) => formatTopic(address))).toEqual([`invoices:${id}`])
  expect(words).toContain(`\`invoices:${id}\``)
  expect(`${Buffer.from(encodeEvent(published[0]!.event)).toString()}\n`).toBe(block("json reply"))
  expect(words).toContain(`up to ${replyEventsMax} of them`)
  expect(words).toContain(`${hopsMax} forwards and replies`)
})

interface Vector {
  readonly secret: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** What a receiver meets, and whether it is to take it. */
function vectors(): readonly (readonly [Vector, boolean])[] {
  const chance = createSimulatedChance(1)
  const now = Date.now()
  const [first, second] = [issueSigningKey("v1", now, chance), issueSigningKey("v1", now, chance)]
  const asymmetric = issueSigningKey("v1a", now, chance)
  const body = '{"who":"Zoë","total":120}'
  const sign = (keys: readonly SigningKey[], at = now, secret = first.secret): Vector => {
    const [id, timestamp] = ["000000000ko_paid_i1", Math.floor(at / 1_000).toString()]
    const signature = createSigner(keys).sign(id, timestamp, Buffer.from(body), at)
    const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature }
    return { secret, headers, body }
  }
  const right = sign([first])
  const { "webhook-signature": _, ...unsigned } = right.headers
  const headers = (change: Record<string, string>) => ({ ...right, headers: { ...right.headers, ...change } })
  return [
    [right, true],
    [sign(rotate([first], second, 60_000, now)), true],
    [sign([asymmetric, first]), true],
    [{ ...right, body: "" }, false],
    [{ ...right, body: `${body} ` }, false],
    [sign([second]), false],
    [sign([first], now - 301_000), false],
    [sign([first], now + 310_000), false],
    [{ ...right, headers: unsigned }, false],
    [headers({ "webhook-id": "000000000ko_paid_i2" }), false],
    [headers({ "webhook-timestamp": "soon" }), false],
    [headers({ "webhook-signature": "v1," }), false],
    [headers({ "webhook-signature": right.headers["webhook-signature"]!.slice(0, -4) }), false],
    [headers({ "webhook-signature": right.headers["webhook-signature"]!.replace("v1,", "v1a,") }), false],
  ]
}

/** Programs around the page's functions: a list of vectors in, a list of verdicts out. */
const programs = {
  ts: {
    files: {
      "verify.ts": () => block("ts verify"),
      "main.ts": () =>
        'import { verify } from "./verify.ts"\nimport { readFileSync } from "node:fs"\n' +
        'const all = JSON.parse(readFileSync(0, "utf8"))\n' +
        "console.log(JSON.stringify(all.map((v) => verify(v.secret, v.headers, Buffer.from(v.body)))))\n",
    },
    command: [process.execPath, "main.ts"],
  },
  python: {
    files: {
      "verify.py": () => block("python verify"),
      "main.py": () =>
        "import json, sys\nfrom verify import verify\n" +
        'print(json.dumps([verify(v["secret"], v["headers"], v["body"].encode()) for v in json.load(sys.stdin)]))\n',
    },
    command: ["python3", "main.py"],
  },
  go: {
    files: {
      "go.mod": () => "module verify\n\ngo 1.19\n",
      "verify.go": () => block("go verify"),
      "main.go": () =>
        'package main\n\nimport (\n\t"encoding/json"\n\t"net/http"\n\t"os"\n)\n\nfunc main() {\n' +
        "\tvar all []struct {\n\t\tSecret, Body string\n\t\tHeaders map[string]string\n\t}\n" +
        "\tjson.NewDecoder(os.Stdin).Decode(&all)\n\tverdicts := []bool{}\n\tfor _, v := range all {\n" +
        "\t\theaders := http.Header{}\n\t\tfor name, value := range v.Headers {\n\t\t\theaders.Set(name, value)\n\t\t}\n" +
        "\t\tverdicts = append(verdicts, verify(v.Secret, headers, []byte(v.Body)))\n\t}\n" +
        "\tjson.NewEncoder(os.Stdout).Encode(verdicts)\n}\n",
    },
    command: ["go", "run", "."],
  },
} as const

function isThere(command: string, flag: string): boolean {
  try {
    execFileSync(command, [flag], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

test.skipIf(!isThere("python3", "--version"))(
  "the Python function takes what is signed, and nothing else (skipped without python3)",
  () => {
    check("python")
  },
)

test.skipIf(!isThere("go", "version"))(
  "the Go function takes what is signed, and nothing else (skipped without go)",
  () => {
    check("go")
  },
  120_000,
)

test("the TypeScript function takes what is signed, and nothing else", () => {
  check("ts")
})

function check(language: keyof typeof programs): void {
  const { files, command } = programs[language]
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text())
  const all = vectors()
  const [program, ...args] = command
  const input = JSON.stringify(all.map(([vector]) => vector))
  const env = { ...process.env, GOFLAGS: "-mod=mod", GOTOOLCHAIN: "local" }
  const out = execFileSync(program, args, { cwd: folder, input, env, encoding: "utf8" })
  expect(JSON.parse(out)).toEqual(all.map(([, isRight]) => isRight))
}

test("every command and flag that the page names is one", async () => {
  const lines = [...page.matchAll(/(?:^ {4}|`)redcar ([a-z][^`]*?)(?=`|\n {4}|\n\n)/gm)].map(([, line]) => line!)
  expect(lines.length).toBeGreaterThan(8)
  for (const line of lines) {
    const [command = "", ...flags] = line.replaceAll(/\s+/g, " ").split(/ (?=--|<|\d|paid|shop)/)
    const { code, out } = await runCli([...command.split(" "), "--help"])
    expect([line, code]).toEqual([line, 0])
    for (const flag of flags.filter((word) => word.startsWith("--"))) expect(out, line).toContain(flag.split(" ")[0])
  }
})
