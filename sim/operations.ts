import { createApi } from "../src/api/api.ts"
import { createSimulatedMachine } from "../src/testing/simulated-machine.ts"
import { sharedApp } from "./shared-app.ts"

/** One route of the hub's API, as its own reference tells of it. */
export interface Operation {
  /** `createTrigger` */
  readonly id: string
  readonly method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE"
  /** `/v1/triggers/{id}` */
  readonly path: string
  /** The statuses that the reference names. */
  readonly statuses: ReadonlySet<number>
}

export type Operations = ReadonlyMap<string, Operation>

const read: { operations?: Promise<Operations> } = {}

/** Every route that the hub has, by its operation's id; read once from the document that the hub itself serves. */
export function listOperations(): Promise<Operations> {
  read.operations ??= readDocument()
  return read.operations
}

interface Document {
  readonly paths: Record<string, Record<string, { readonly operationId: string; readonly responses: object }>>
}

async function readDocument(): Promise<Operations> {
  const machine = createSimulatedMachine()
  const { engine, power } = await machine.boot()
  const api = await createApi({
    ...{ engine, clock: power.clock, chance: machine.chance, kinds: new Map(), version: "" },
    authorize: () => undefined,
    createApp: sharedApp,
    stop: new AbortController().signal,
    topics: { autoCreate: true, dedupeWindowMs: 0 },
    metrics: { open: true, render: async () => ({ contentType: "text/plain", body: "" }) },
  })
  const { paths } = (await api.inject({ url: "/v1/openapi.json" })).json<Document>()
  power.cut()
  const operations = new Map<string, Operation>()
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, { operationId: id, responses }] of Object.entries(methods)) {
      const statuses = new Set(Object.keys(responses).map(Number))
      operations.set(id, { id, method: method.toUpperCase() as Operation["method"], path, statuses })
    }
  }
  return operations
}

/** The operation's path with its parameters filled in, and the query behind it. */
export function urlOf(
  { path }: Operation,
  parameters: Readonly<Record<string, string>> = {},
  query: Readonly<Record<string, string>> = {},
): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = parameters[name]
    if (value === undefined) throw new Error(`${path} wants ${name}`)
    return encodeURIComponent(value)
  })
  const search = new URLSearchParams(query).toString()
  return search === "" ? filled : `${filled}?${search}`
}
