import { once } from "node:events"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { loadSettings } from "./config/load.ts"
import { serveHub } from "./main.ts"

/** An answer, its body parsed where it is JSON. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they expect it to be
  readonly body: any
  readonly text: string
}

/** A whole hub in this process, on a temporary directory. */
export interface TestHub {
  readonly url: string
  readonly key: string
  /** With the admin key, unless the headers name another. */
  call(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer>
  /** Writes a request's head and body as they are; resolves with all that was answered when it holds `until` or ends. */
  exchange(lines: readonly string[], until: string | RegExp): Promise<string>
  stop(): Promise<void>
}

export async function startTestHub(flags: Readonly<Record<string, string>> = {}): Promise<TestHub> {
  const data = await mkdtemp(join(tmpdir(), "redcar-hub-"))
  const loaded = loadSettings({
    flags: { data, port: "0", logLevel: "silent", ...flags },
    env: {},
    readFile: () => undefined,
  })
  if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
  const hub = await serveHub(loaded.settings)
  const key = (await readFile(join(data, "admin.key"), "utf8")).trim()
  return {
    url: hub.address,
    key,
    call: (method, path, body, headers) =>
      call(hub.address + path, method, body, { authorization: `Bearer ${key}`, ...headers }),
    exchange: (lines, until) => exchange(Number(new URL(hub.address).port), lines, until),
    async stop() {
      await hub.stop()
      await rm(data, { recursive: true })
    },
  }
}

async function call(url: string, method: string, body: unknown, headers: Record<string, string>): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
    redirect: "manual",
    ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
  })
  const text = await response.text()
  const isJson = text !== "" && /[/+]json\b/.test(response.headers.get("content-type") ?? "")
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : undefined, text }
}

async function exchange(port: number, lines: readonly string[], until: string | RegExp): Promise<string> {
  const socket = connect(port, "127.0.0.1")
  await once(socket, "connect")
  socket.write(lines.join("\r\n"))
  let answered = ""
  try {
    for await (const chunk of socket) {
      answered += String(chunk)
      if (typeof until === "string" ? answered.includes(until) : until.test(answered)) break
    }
  } finally {
    socket.destroy()
  }
  return answered
}
