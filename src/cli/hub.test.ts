import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type RequestListener, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { exitCodes, ProblemError, UnreachableError, UsageError } from "./failures.ts"
import { findHub, openHub } from "./hub.ts"
import { runCli } from "./terminal.fixture.ts"

describe("finding the hub and its key", () => {
  let data: string

  beforeAll(() => {
    data = mkdtempSync(join(tmpdir(), "redcar-cli-"))
    writeFileSync(join(data, "admin.key"), "rck_file\n")
    mkdirSync(join(data, "broken", "admin.key"), { recursive: true })
  })
  afterAll(() => rmSync(data, { recursive: true }))

  test("the flag wins over the variable, the variable over the default", () => {
    expect(findHub({}, {}).url).toBe("http://127.0.0.1:9000")
    expect(findHub({}, { REDCAR_URL: "https://hub.example.com/redcar/" }).url).toBe("https://hub.example.com/redcar")
    expect(findHub({ url: "http://a:1" }, { REDCAR_URL: "http://b:2" }).url).toBe("http://a:1")
  })

  test("a key that is said wins over the key file", () => {
    expect(findHub({ data }, {})).toMatchObject({ key: "rck_file", keyFrom: join(data, "admin.key") })
    expect(findHub({}, { REDCAR_DATA: data }).key).toBe("rck_file")
    expect(findHub({ data }, { REDCAR_KEY: "rck_env" })).toMatchObject({ key: "rck_env", keyFrom: "REDCAR_KEY" })
    expect(findHub({ data, key: "rck_flag" }, { REDCAR_KEY: "rck_env" }).key).toBe("rck_flag")
  })

  test("the key file goes to another machine only where it is asked for", () => {
    const env = { REDCAR_DATA: data }
    expect(findHub({ url: "https://hub.example.com" }, env).key).toBeUndefined()
    expect(findHub({ url: "https://hub.example.com", data }, env).key).toBe("rck_file")
    expect(findHub({ url: "http://localhost:9000" }, env).key).toBe("rck_file")
    expect(findHub({ url: "http://[::1]:9000" }, env).key).toBe("rck_file")
  })

  test("no key file is no error yet; one that cannot be read is", () => {
    expect(findHub({ data: join(data, "none") }, {}).key).toBeUndefined()
    expect(() => findHub({ data: join(data, "broken") }, {})).toThrow(UsageError)
  })
})

describe("talking to it", () => {
  let server: Server | undefined
  afterEach(() => void server?.close())

  async function listen(handler: RequestListener): Promise<string> {
    server = createServer(handler)
    await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve))
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  function hubAt(url: string) {
    return openHub({ url, key: "rck_1", keyFile: "data/admin.key", keyFrom: "--key" })
  }

  test("sends the key, the query and the body", async () => {
    const url = await listen((request, response) => {
      response.end(
        JSON.stringify({ url: request.url, key: request.headers.authorization, type: request.headers["content-type"] }),
      )
    })
    expect(await hubAt(url).json("POST", "/v1/x", { query: { a: "b c", none: undefined }, json: {} })).toEqual({
      url: "/v1/x?a=b+c",
      key: "Bearer rck_1",
      type: "application/json",
    })
  })

  test("lists go on to the last page", async () => {
    const url = await listen((request, response) => {
      const token = new URL(request.url!, "http://x").searchParams.get("pageToken")
      response.end(JSON.stringify(token === null ? { items: [1, 2], nextPageToken: "2" } : { items: [3] }))
    })
    const items: number[] = []
    for await (const item of hubAt(url).items<number>("/v1/x")) items.push(item)
    expect(items).toEqual([1, 2, 3])
  })

  test.each([
    [400, exitCodes.refused],
    [401, exitCodes.refused],
    [403, exitCodes.refused],
    [404, exitCodes.notFound],
    [409, exitCodes.conflict],
    [412, exitCodes.conflict],
    [413, exitCodes.refused],
    [500, exitCodes.failed],
    [503, exitCodes.failed],
    [507, exitCodes.failed],
  ])("status %d exits %d, with the hub's own words and every wrong field", async (status, exitCode) => {
    const problem = { code: "a-code", detail: "the detail", errors: [{ field: "a.b", message: "is wrong" }] }
    const url = await listen((_, response) => response.writeHead(status).end(JSON.stringify(problem)))
    const error = await hubAt(url)
      .json("GET", "/v1/x")
      .catch((each: unknown) => each)
    expect(error).toBeInstanceOf(ProblemError)
    expect(error).toMatchObject({ message: "the detail", exitCode, problem: { status, ...problem } })
    const { code, err } = await runCli(["topic", "get", "orders", "--url", url, "--key", "k"])
    expect(code).toBe(exitCode)
    // Of a request that is refused for its fields, the detail is what is wrong with the first of them.
    expect(err).toContain(status === 400 ? "error: a.b is wrong\n" : "error: the detail\n  a.b is wrong\n")
  })

  test("an answer that is not a hub's is said to be so", async () => {
    const url = await listen((_, response) => response.end("<html>"))
    await expect(hubAt(url).json("GET", "/v1/x")).rejects.toThrow(UnreachableError)
    await expect(hubAt(url).json("GET", "/v1/x")).rejects.toThrow(/no Redcar hub/)
  })

  test("nobody there: exit 3, and what to do", async () => {
    const url = await listen(() => {})
    await new Promise((resolve) => server!.close(resolve))
    const { code, err } = await runCli(["topic", "list", "--url", url])
    expect(code).toBe(exitCodes.unreachable)
    expect(err).toBe(
      `error: no hub answers at ${url}: nothing listens there\nStart one here: redcar serve --port ${new URL(url).port}\n` +
        "Or say where it is: --url http://host:9000, or the variable REDCAR_URL\n",
    )
  })

  test("no answer in time is unreachable as well", async () => {
    const url = await listen(() => {})
    await expect(hubAt(url).json("GET", "/v1/x", { timeoutMs: 20 })).rejects.toThrow(/did not answer within 0.02 s/)
    server!.closeAllConnections()
  })

  test("a missing key is explained", async () => {
    const url = await listen((_, response) =>
      response.writeHead(401).end(JSON.stringify({ code: "unauthenticated", detail: "no key" })),
    )
    const { err } = await runCli(["topic", "list", "--url", url, "--data", "/nowhere"])
    expect(err).toContain("No key was sent (none: there is no /nowhere/admin.key).")
  })
})
