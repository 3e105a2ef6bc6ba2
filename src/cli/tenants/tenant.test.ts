import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { createServer, type IncomingMessage, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { exitCodes } from "../failures.ts"
import { runCli } from "../terminal.fixture.ts"

const issued = { tenant: "acme", credentials: "the secret\n", expiresAt: "2050-01-01T00:00:00.000Z" }

let home: string
let hub: Server
let env: Record<string, string>
let asked: { readonly path: string; readonly body: unknown }[] = []

async function bodyOf(request: IncomingMessage): Promise<unknown> {
  let text = ""
  for await (const part of request) text += part
  return text === "" ? undefined : JSON.parse(text)
}

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "redcar-tenant-"))
  hub = createServer(async (request, response) => {
    asked.push({ path: `${request.method} ${request.url}`, body: await bodyOf(request) })
    if (request.method === "DELETE") return response.writeHead(204).end()
    response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify(issued))
  })
  await new Promise<void>((resolve) => hub.listen(0, "127.0.0.1", resolve))
  env = { REDCAR_URL: `http://127.0.0.1:${(hub.address() as AddressInfo).port}`, REDCAR_KEY: "key" }
})
afterAll(() => {
  hub.close()
  rmSync(home, { recursive: true })
})

describe("redcar tenant nats-credentials", () => {
  test("prints them, for a shell to put into a file", async () => {
    asked = []
    const ran = await runCli(["tenant", "nats-credentials", "acme", "--consumer", "r", "--expires", "365d"], { env })
    expect(ran).toEqual({ code: 0, out: issued.credentials, err: "" })
    expect(asked).toEqual([
      { path: "POST /v1/tenants/acme/nats-credentials", body: { consumer: "r", expiresIn: "365d" } },
    ])
  })

  test("writes them to a new file of this user alone, and prints no secret", async () => {
    const path = join(home, "acme.creds")
    const first = await runCli(["tenant", "nats-credentials", "acme", "--out", path, "--json"], { env })
    expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual([issued.credentials, 0o600])
    expect(JSON.parse(first.out)).toEqual({ tenant: "acme", expiresAt: issued.expiresAt })
    const again = await runCli(["tenant", "nats-credentials", "acme", "--out", path], { env })
    expect([again.code, again.err]).toEqual([exitCodes.usage, expect.stringContaining("EEXIST")])
  })
})

describe("redcar tenant revoke-nats-credentials", () => {
  test("does nothing unless it is told yes", async () => {
    asked = []
    const unsure = await runCli(["tenant", "revoke-nats-credentials", "acme"], { env })
    expect([unsure.code, asked]).toEqual([exitCodes.usage, []])
    const sure = await runCli(["tenant", "revoke-nats-credentials", "acme", "--yes"], { env })
    expect(sure).toMatchObject({ code: 0, out: expect.stringContaining("ended all NATS credentials of acme") })
    expect(asked).toEqual([{ path: "DELETE /v1/tenants/acme/nats-credentials", body: undefined }])
  })
})
