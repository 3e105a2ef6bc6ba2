import { existsSync } from "node:fs"
import { chromium } from "playwright-core"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "./api.fixture.ts"

const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium"

let api: TestApi
beforeAll(async () => {
  api = await openTestApi()
})
afterAll(() => api.close())

test("the page names this hub only, and forbids every other", async () => {
  for (const path of ["/docs", "/docs/"]) {
    const page = await api.call("GET", path, undefined, { authorization: "" })
    expect(page.headers.get("content-type")).toMatch(/^text\/html/)
    expect(page.text).not.toMatch(/https?:\/\//)
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'")
  }
})

test("its script comes gzipped where that is wanted", async () => {
  const plain = await api.call("GET", "/docs/scalar.js", undefined, {
    authorization: "",
    "accept-encoding": "identity",
  })
  expect(plain.headers.get("content-type")).toMatch(/^text\/javascript/)
  expect(plain.headers.get("content-encoding")).toBeNull()
  const packed = await fetch(`${api.url}/docs/scalar.js`, { headers: { "accept-encoding": "gzip" } })
  expect(packed.headers.get("content-encoding")).toBe("gzip")
  expect((await packed.text()).length).toBe(plain.text.length)
})

test.skipIf(!existsSync(executablePath))("in a browser it shows the API, and calls nobody else", async () => {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] })
  try {
    const page = await browser.newPage()
    const asked: string[] = []
    const complaints: string[] = []
    page.on("request", (request) => void asked.push(request.url()))
    page.on("pageerror", (error) => void complaints.push(error.message))
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text())
    })
    await page.goto(`${api.url}/docs`)
    await page.getByText("Publish events").first().click()
    await page.getByRole("heading", { name: "Publish events" }).first().waitFor()
    await page.getByText("Topics", { exact: true }).first().click()
    await page.getByText("List topics").first().click()
    // A request out of the page itself, which is what would want a proxy. It lacks a key.
    await page.getByRole("button", { name: "Test Request (get /v1/topics)" }).click()
    const answered = page.waitForResponse((response) => response.url().includes("/v1/topics?"))
    await page.getByRole("button", { name: /^Send/ }).first().click()
    expect((await answered).status()).toBe(401)
    await page.waitForLoadState("networkidle")
    const foreign = asked.filter((url) => !url.startsWith(`${api.url}/`) && !/^(data|blob):/.test(url))
    expect(foreign).toEqual([])
    expect(asked).toContain(`${api.url}/v1/openapi.json`)
    expect(complaints.filter((text) => !text.includes("401"))).toEqual([])
  } finally {
    await browser.close()
  }
})
