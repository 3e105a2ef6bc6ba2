import { type Operation, type Requests, requestsOf, type Schema } from "./openapi.fixture.ts"

/** An answer as it came. */
export interface Came {
  readonly method: string
  /** With its query. */
  readonly path: string
  readonly status: number
  readonly type: string | null
  readonly text: string
}

/** Holds answers against the hub's own reference. */
export class Reference {
  readonly #requests: Requests
  readonly #patterns: readonly (readonly [RegExp, Operation])[]

  constructor(document: string) {
    this.#requests = requestsOf(JSON.parse(document))
    this.#patterns = this.#requests.operations.map((operation) => [patternOf(operation.path), operation])
  }

  /** What the reference does not say of an answer; undefined where it says it all, or is not about the path. */
  unsaid({ method, path, status, type, text }: Came): string | undefined {
    const operation = this.#find(method, path.split("?", 1)[0]!)
    if (operation === undefined) return undefined
    const { operationId, responses } = operation
    const answer = responses[status] ?? (status >= 500 ? responses.default : undefined)
    if (answer === undefined) return `${operationId} answered ${status}, which its reference has not: ${text}`
    if (text === "" || method === "HEAD") return undefined
    const mediaType = (type ?? "").split(";", 1)[0]!
    const content = answer.content?.[mediaType]
    if (content === undefined) return `${operationId} answered ${status} as ${mediaType}, which its reference has not`
    const values = valuesOf(mediaType, text)
    if (!values.every((value) => this.#requests.valid(content.schema as Schema, value)))
      return `${operationId} answered ${status} with a body that its reference does not describe: ${text}`
    const [problem] = mediaType === "application/problem+json" ? (values as { code: string }[]) : []
    if (problem === undefined || answer.description.includes(problem.code)) return undefined
    return `${operationId} answered ${status} ${problem.code}, which its reference does not name`
  }

  #find(method: string, path: string): Operation | undefined {
    const asked = method === "HEAD" ? "GET" : method
    return this.#patterns.find(([pattern, operation]) => operation.method === asked && pattern.test(path))?.[1]
  }
}

function patternOf(path: string): RegExp {
  const escaped = path.replace(/[.*+?^$()|[\]\\]/g, "\\$&")
  return new RegExp(`^${escaped.replace(/\{\w+\}/g, "[^/]+")}$`)
}

/** What a body's schema is about: of lines each, of other text the text itself. */
function valuesOf(mediaType: string, text: string): readonly unknown[] {
  if (mediaType === "application/x-ndjson")
    return text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
  return [mediaType.endsWith("json") ? JSON.parse(text) : text]
}
