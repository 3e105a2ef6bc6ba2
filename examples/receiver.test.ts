import { type ChildProcess, spawn } from "node:child_process"
import { createHmac, randomBytes } from "node:crypto"
import { once } from "node:events"
import { type AddressInfo, connect, createServer } from "node:net"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, expect, test } from "vitest"

const key = randomBytes(24)
const body = '{"total":1}'
let receiver: ChildProcess
let url: string

beforeAll(async () => {
  const free = createServer().listen(0, "127.0.0.1")
  await once(free, "listening")
  const { port } = free.address() as AddressInfo
  free.close()
  const program = fileURLToPath(new URL("receiver.ts", import.meta.url))
  receiver = spawn(process.execPath, [program, `whsec_${key.toString("base64")}`], {
    env: { ...process.env, PORT: String(port) },
    stdio: ["ignore", "pipe", "inherit"],
  })
  await once(receiver.stdout!, "data")
  receiver.stdout!.resume()
  url = `http://127.0.0.1:${port}/`
})

afterAll(async () => {
  const exited = once(receiver, "exit")
  receiver.kill("SIGTERM")
  await exited
})

/** Signs as the hub does, whatever id and timestamp are said to be. */
function signed(id: string, timestamp: string, by = key): string {
  return `v1,${createHmac("sha256", by).update(`${id}.${timestamp}.${body}`).digest("base64")}`
}

async function send(headers: Record<string, string>): Promise<number> {
  return (await fetch(url, { method: "POST", headers, body })).status
}

const now = () => String(Math.floor(Date.now() / 1000))

function good(): Record<string, string> {
  const timestamp = now()
  return { "webhook-id": "1", "webhook-timestamp": timestamp, "webhook-signature": signed("1", timestamp) }
}

test("what is signed is taken, also beside other signatures", async () => {
  const headers = good()
  expect(await send(headers)).toBe(204)
  const other = signed("1", headers["webhook-timestamp"]!, randomBytes(24))
  expect(await send({ ...headers, "webhook-signature": `v1a,abc ${other} ${headers["webhook-signature"]}` })).toBe(204)
})

test.each(["webhook-id", "webhook-timestamp", "webhook-signature"])("nothing is taken without %s", async (name) => {
  const { [name]: _, ...headers } = good()
  expect(await send(headers)).toBe(401)
})

test.each(["undefined", "", "NaN", "soon", "1e999", "0x10", "-1"])(
  "a timestamp that is none (%j) is refused, signed as it may be",
  async (timestamp) => {
    const headers = { "webhook-id": "1", "webhook-signature": signed("1", timestamp) }
    expect(await send({ ...headers, "webhook-timestamp": timestamp })).toBe(401)
    expect(await send(headers)).toBe(401)
  },
)

test.each(["undefined", ""])("an id that is none (%j) is refused, signed as it may be", async (id) => {
  const timestamp = now()
  const headers = { "webhook-timestamp": timestamp, "webhook-signature": signed(id, timestamp) }
  expect(await send(headers)).toBe(401)
  expect(await send({ ...headers, "webhook-id": "" })).toBe(401)
})

test("a signature without its scheme, or of another, is refused", async () => {
  const headers = good()
  const bare = headers["webhook-signature"]!.slice("v1,".length)
  for (const signature of [bare, `v2,${bare}`, `V1,${bare}`, `xv1,${bare}`, "v1,", "v1", " "]) {
    expect([signature, await send({ ...headers, "webhook-signature": signature })]).toEqual([signature, 401])
  }
})

test("an old time and another body are refused", async () => {
  const old = String(Number(now()) - 400)
  expect(await send({ "webhook-id": "1", "webhook-timestamp": old, "webhook-signature": signed("1", old) })).toBe(401)
  const answer = await fetch(url, { method: "POST", headers: good(), body: `${body} ` })
  expect(answer.status).toBe(401)
})

test("a body of more than 1 MiB is refused as it comes", async () => {
  const piece = new Uint8Array(64 * 1024)
  const sentMax = 64 * 1024 * 1024
  let sent = 0
  const body = new ReadableStream({
    pull(controller) {
      sent += piece.length
      if (sent < sentMax) controller.enqueue(piece)
      else controller.close()
    },
  })
  const sending = fetch(url, { method: "POST", headers: good(), body, duplex: "half" } as RequestInit)
  const answer = await sending.catch((error: { cause?: NodeJS.ErrnoException }) => error)
  // What is sent on meanwhile may find the connection closed before the answer is read.
  if (answer instanceof Response) expect(answer.status).toBe(413)
  else expect(["EPIPE", "ECONNRESET"]).toContain(answer.cause?.code)
  expect(sent).toBeLessThan(sentMax)
  expect(await send(good())).toBe(204)
})

test("a sender that goes away within a body ends nothing but its request", async () => {
  const socket = connect(Number(new URL(url).port), "127.0.0.1")
  const closed = once(socket, "close")
  socket.write("POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n{")
  await once(socket, "data")
  socket.resetAndDestroy()
  await closed
  expect(await send(good())).toBe(204)
})

test("a port that is taken is told in a sentence", async () => {
  const program = fileURLToPath(new URL("receiver.ts", import.meta.url))
  const { port } = new URL(url)
  const second = spawn(process.execPath, [program], {
    env: { ...process.env, PORT: port },
    stdio: ["ignore", "pipe", "pipe"],
  })
  let said = ""
  second.stderr.on("data", (part: Buffer) => {
    said += part
  })
  const [code] = (await once(second, "close")) as [number]
  expect([code, said]).toEqual([
    1,
    `cannot wait for webhooks: port ${port} is taken; choose another: PORT=${Number(port) + 1}\n`,
  ])
})
