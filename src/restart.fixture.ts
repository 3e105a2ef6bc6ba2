import { once } from "node:events"
import { readFileSync } from "node:fs"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { loadSettings } from "./config/load.ts"
import { serveHub } from "./main.ts"

/** Takes deliveries where it is `open`; else it refuses them in a way that says nothing of being down. */
export interface Receiver {
  readonly url: string
  open: boolean
  /** Requests, and the ids of the events that were taken. */
  tried: number
  readonly taken: string[]
  stop(): Promise<void>
}

export async function startReceiver(): Promise<Receiver> {
  const server = createServer((request, response) => {
    receiver.tried++
    if (receiver.open) receiver.taken.push(String(request.headers["ce-id"]))
    response.writeHead(receiver.open ? 204 : 409).end()
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const stop = async () => {
    server.closeAllConnections()
    server.close()
  }
  const receiver: Receiver = { url, open: false, tried: 0, taken: [], stop }
  return receiver
}

export interface Asked {
  readonly status: number
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they expect it to be
  readonly body: any
}

/** A hub in this process whose data directory stays when it stops. */
export interface RestartableHub {
  readonly address: string
  /** Of the admin key. */
  readonly authorization: string
  call(method: string, path: string, body?: unknown): Promise<Asked>
  stop(): Promise<void>
}

export async function startHubOn(data: string, flags: Readonly<Record<string, string>> = {}): Promise<RestartableHub> {
  const given = { data, port: "0", logLevel: "silent", ...flags }
  const loaded = loadSettings({ flags: given, env: {}, readFile: () => undefined })
  if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
  const { address, stop } = await serveHub(loaded.settings)
  const key = readFileSync(join(data, "admin.key"), "utf8").trim()
  const authorization = `Bearer ${key}`
  const call = async (method: string, path: string, body?: unknown): Promise<Asked> => {
    const type = path.endsWith("/events") ? "application/cloudevents+json" : "application/json"
    const headers = { authorization, ...(body !== undefined && { "content-type": type }) }
    const answer = await fetch(address + path, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    const isJson = /[/+]json\b/.test(answer.headers.get("content-type") ?? "")
    return { status: answer.status, body: isJson && text !== "" ? JSON.parse(text) : text }
  }
  return { address, authorization, call, stop }
}

/** Resolves once it holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 20_000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error("what was waited for has not come")
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
