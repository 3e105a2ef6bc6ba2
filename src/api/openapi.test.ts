import { Validator } from "@seriousme/openapi-schema-validator"
import { Ajv2020 } from "ajv/dist/2020.js"
import addFormats from "ajv-formats"
import { afterAll, beforeAll, expect, test } from "vitest"
import { openTestApi, type TestApi } from "./api.fixture.ts"

interface Operation {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly security?: readonly object[]
  readonly parameters?: readonly { readonly name: string; readonly in: string; readonly required?: boolean }[]
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> }
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: object }>>
}

interface Document {
  readonly openapi: string
  readonly info: { readonly title: string; readonly version: string }
  readonly servers: readonly object[]
  readonly tags: readonly { readonly name: string }[]
  readonly security: readonly object[]
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  // biome-ignore lint/suspicious/noExplicitAny: tests look into it as they expect it to be
  readonly components: { readonly schemas: Readonly<Record<string, any>>; readonly securitySchemes: object }
}

let api: TestApi
let document: Document
let operations: readonly (Operation & { readonly method: string; readonly path: string })[]
beforeAll(async () => {
  api = await openTestApi({ metrics: { open: false, render: async () => ({ contentType: "text/plain", body: "" }) } })
  document = (await api.call("GET", "/v1/openapi.json", undefined, { authorization: "" })).body
  operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ ...operation, method, path })),
  )
})
afterAll(() => api.close())

/** Every value under a key, anywhere. */
function valuesOf(node: unknown, key: string): unknown[] {
  if (Array.isArray(node)) return node.flatMap((each) => valuesOf(each, key))
  if (typeof node !== "object" || node === null) return []
  return Object.entries(node).flatMap(([name, value]) => (name === key ? [value] : valuesOf(value, key)))
}

test("it is OpenAPI 3.1 with a title, a version and a key", () => {
  expect(document).toMatchObject({
    openapi: "3.1.0",
    info: { title: "Redcar", version: "0.0.0-test" },
    security: [{ key: [] }],
    components: { securitySchemes: { key: { type: "http", scheme: "bearer" } } },
  })
})

test("a validator of OpenAPI documents has nothing against it", async () => {
  expect(await new Validator().validate({ ...structuredClone(document) })).toEqual({ valid: true })
})

test("it says where the hub is", () => {
  expect(document.servers).toEqual([{ url: "/", description: "This hub." }])
})

test("every schema in it compiles, as JSON Schema 2020-12", () => {
  const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false })
  addFormats.default(ajv)
  ajv.addVocabulary(["discriminator", "openapi", "info", "servers", "tags", "security", "paths", "components"])
  ajv.addKeyword("unit")
  ajv.addSchema(document, "hub")
  for (const name of Object.keys(document.components.schemas)) {
    expect([name, typeof ajv.compile({ $ref: `hub#/components/schemas/${name}` })]).toEqual([name, "function"])
  }
})

test("patterns are understood whatever the flags", () => {
  const keys = (valuesOf(document, "patternProperties") as object[]).flatMap(Object.keys)
  const patterns = [...(valuesOf(document, "pattern").filter((each) => typeof each === "string") as string[]), ...keys]
  expect(patterns.length).toBeGreaterThan(3)
  for (const pattern of patterns) {
    expect([pattern, /\\p\{/.test(pattern)]).toEqual([pattern, false])
    expect([new RegExp(pattern, "u").flags, new RegExp(pattern).flags]).toEqual(["u", ""])
  }
})

test("every reference leads somewhere", () => {
  const references = valuesOf(document, "$ref") as string[]
  expect(references.length).toBeGreaterThan(100)
  const names = Object.keys(document.components.schemas)
  const lost = references.filter((each) => !names.some((name) => each === `#/components/schemas/${name}`))
  expect([...new Set(lost)]).toEqual([])
})

test("components have names of their own, and are used", () => {
  const names = Object.keys(document.components.schemas)
  expect(names.filter((name) => !/^[A-Z][A-Za-z]+$/.test(name))).toEqual([])
  const used = new Set((valuesOf(document, "$ref") as string[]).map((each) => each.split("/").at(-1)))
  expect(names.filter((name) => !used.has(name))).toEqual([])
})

test("no keyword of the hub's own is left in it", () => {
  for (const key of ["x-component", "x-patch", "errorMessage", "unknownMessage", "$id", "~kind"]) {
    expect([key, valuesOf(document, key)]).toEqual([key, []])
  }
})

test("every operation has an id of its own, a known tag, a summary, and answers", () => {
  const ids = operations.map(({ operationId }) => operationId)
  expect(new Set(ids).size).toBe(ids.length)
  const tags = document.tags.map(({ name }) => name)
  for (const { operationId, tags: own, summary, responses } of operations) {
    expect([operationId, own.length, tags.includes(own[0]!), summary.length > 0]).toEqual([operationId, 1, true, true])
    expect([operationId, Object.keys(responses).some((status) => status.startsWith("2"))]).toEqual([operationId, true])
  }
})

test("every parameter of a path is described, and no other", () => {
  for (const { path, operationId, parameters = [] } of operations) {
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    const described = parameters.filter((each) => each.in === "path")
    expect([operationId, described.map(({ name }) => name)]).toEqual([operationId, inPath])
    expect(described.every(({ required }) => required === true)).toBe(true)
  }
})

/** `GET /v1/topics/*` for each line of the server's tree of routes. */
function routesOf(tree: string): string[] {
  const above: string[] = []
  return tree.split("\n").flatMap((line) => {
    const [, indent, path, methods] = /^([│ ├└─]*)(\S+)(?: \((.*)\))?$/.exec(line) ?? []
    if (indent === undefined || path === undefined) return []
    const depth = indent.length / 4 - 1
    above.splice(depth, above.length, path.replace(/\/:\w+(\|:\w+)*/g, "/*"))
    return methods === undefined
      ? []
      : methods
          .split(", ")
          .filter((method) => method !== "HEAD")
          .map((method) => `${method} ${above.join("")}`)
  })
}

test("every route is in it, and nothing else but publishing, which is answered outside", () => {
  const described = operations.map(({ method, path }) => `${method.toUpperCase()} ${path.replace(/\{\w+\}/g, "*")}`)
  const unlisted = ["GET /docs", "GET /docs/", "GET /docs/scalar.js", "GET /v1/openapi.json"]
  const served = routesOf(api.routes())
  expect(served).toContain("GET /v1/events/*/deliveries")
  expect([...served, "POST /v1/topics/*/events"].sort()).toEqual([...described, ...unlisted].sort())
})

test("what wants a key says so, and what does not says that", () => {
  for (const { path, security, responses } of operations) {
    const isOpen = ["/healthz", "/readyz"].includes(path) || /^\/(\.well-known|v1\/handshakes)\//.test(path)
    expect([path, security]).toEqual([path, isOpen ? [] : undefined])
    expect([path, "401" in responses]).toEqual([path, !isOpen])
  }
})

test("what takes If-Match may be answered 409 and 412", () => {
  const changes = operations.filter(({ parameters = [] }) => parameters.some(({ name }) => name === "if-match"))
  expect(changes.map(({ operationId }) => operationId)).toContain("pauseTrigger")
  for (const { operationId, responses } of changes)
    expect([operationId, "409" in responses, "412" in responses]).toEqual([operationId, true, true])
})

test("destinations are told apart by their kind", () => {
  const { Destination, DestinationInput, WebhookDestinationInput, TopicDestination } = document.components.schemas
  for (const [form, union] of Object.entries({ Destination, DestinationInput })) {
    expect(union.discriminator.propertyName).toBe("kind")
    for (const kind of ["webhook", "topic"]) {
      const name = `${kind === "webhook" ? "Webhook" : "Topic"}${form}`
      expect(union.discriminator.mapping[kind]).toBe(`#/components/schemas/${name}`)
      expect(union.oneOf).toContainEqual({ $ref: `#/components/schemas/${name}` })
    }
  }
  expect(WebhookDestinationInput.properties.config.properties.url.type).toBe("string")
  expect(WebhookDestinationInput.properties.kind.const).toBe("webhook")
  expect(TopicDestination.properties.config.properties).toHaveProperty("topic")
})

test("a body and its example are there where one is sent", () => {
  const create = operations.find(({ operationId }) => operationId === "createTrigger")!
  expect(create.requestBody!.content["application/json"]!.schema).toMatchObject({
    $ref: "#/components/schemas/TriggerInput",
  })
  expect(document.components.schemas.TriggerInput.examples[0]).toHaveProperty("topic")
  const patch = operations.find(({ operationId }) => operationId === "updateTrigger")!
  expect(patch.requestBody!.content).toEqual({
    "application/merge-patch+json": { schema: { $ref: "#/components/schemas/TriggerPatch" } },
  })
  const publish = operations.find(({ operationId }) => operationId === "publishEvents")!
  expect(Object.keys(publish.requestBody!.content)).toContain("application/cloudevents-batch+json")
})
