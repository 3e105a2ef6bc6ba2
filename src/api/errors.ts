import { STATUS_CODES } from "node:http"
import {
  ClosedError,
  ConflictError,
  DamagedError,
  InvalidCursorError,
  OverloadError,
  StorageError,
  StorageFullError,
  UnavailableError,
} from "../core/errors.ts"
import { type FieldFault, type RefusalKind, RefusedError } from "../resources/refusal.ts"

/** What an answer that is no success may be called, and its status. */
export const statusOf = {
  "invalid-argument": 400,
  unauthenticated: 401,
  "permission-denied": 403,
  "not-found": 404,
  "method-not-allowed": 405,
  "too-slow": 408,
  "already-exists": 409,
  conflict: 409,
  "precondition-failed": 412,
  "too-large": 413,
  "unsupported-media-type": 415,
  internal: 500,
  held: 503,
  overloaded: 503,
  "storage-full": 507,
} as const

export type ProblemCode = keyof typeof statusOf

/** An answer that is no success, as it goes over the wire (RFC 9457). */
export interface Problem {
  readonly type: "about:blank"
  readonly title: string
  readonly status: number
  readonly code: ProblemCode
  readonly detail: string
  readonly errors?: readonly FieldFault[]
}

/** Ends a request with a problem. Handlers throw it; the server's one error handler answers it. */
export class ProblemError extends Error {
  override readonly name = "ProblemError"
  readonly code: ProblemCode
  readonly errors: readonly FieldFault[] | undefined
  readonly headers: Readonly<Record<string, string>>

  /** `detail` says what to do next. */
  constructor(
    code: ProblemCode,
    detail: string,
    more: { readonly errors?: readonly FieldFault[]; readonly headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(detail)
    this.code = code
    this.errors = more.errors
    this.headers = more.headers ?? {}
  }

  get status(): number {
    return statusOf[this.code]
  }

  toJSON(): Problem {
    return {
      type: "about:blank",
      title: STATUS_CODES[this.status] ?? this.code,
      status: this.status,
      code: this.code,
      detail: this.message,
      ...(this.errors && { errors: this.errors }),
    }
  }
}

/** A resource, event or route that is not there, or not this tenant's. */
export function notFound(detail: string): ProblemError {
  return new ProblemError("not-found", detail)
}

/** A body of a type that is not read here. */
export function unsupportedType(): ProblemError {
  return new ProblemError("unsupported-media-type", "send application/json, with that as the Content-Type")
}

/** A body beyond what is read. */
export function bodyTooLarge(): ProblemError {
  return new ProblemError("too-large", "the body is larger than 1 MiB")
}

interface FastifyErrorLike {
  readonly code: string
  readonly statusCode?: number
  readonly message: string
}

/** Every throw as the problem that is answered. What nobody expected is `internal` and says nothing of its cause. */
export function toProblem(error: unknown): ProblemError {
  if (error instanceof ProblemError) return error
  if (error instanceof RefusedError) return fromRefusal(error)
  return fromCore(error) ?? fromFastify(error) ?? new ProblemError("internal", "the hub failed; its log says why")
}

const codeOf = {
  invalid: "invalid-argument",
  "not-found": "not-found",
  exists: "already-exists",
  conflict: "conflict",
  "precondition-failed": "precondition-failed",
} as const satisfies Record<RefusalKind, ProblemCode>

/** What was refused, and what to do next over HTTP. */
function fromRefusal({ kind, message, faults, about }: RefusedError): ProblemError {
  const next = {
    invalid: "; correct what errors names and send it again",
    "not-found": about === undefined ? "" : `; GET /v1/${about} lists what there is`,
    exists: "; choose another id, or PUT it",
    conflict: "",
    "precondition-failed": "",
  } as const satisfies Record<RefusalKind, string>
  return new ProblemError(codeOf[kind], message + next[kind], faults.length === 0 ? {} : { errors: faults })
}

function fromCore(error: unknown): ProblemError | undefined {
  if (error instanceof OverloadError) return overloaded(error.message, error.retryAfterMs)
  if (error instanceof ClosedError) return overloaded("the hub is stopping; try again soon", 1_000)
  if (error instanceof StorageFullError) {
    return new ProblemError("storage-full", "the disk is full; make room, or shorten the retention of a topic")
  }
  if (error instanceof UnavailableError)
    return overloaded(`the hub cannot reach what it stores in: ${error.message}`, 1_000)
  if (error instanceof StorageError) return new ProblemError("internal", "a write failed, and nothing of it is stored")
  if (error instanceof DamagedError) return new ProblemError("internal", `${error.message}; run redcar doctor`)
  if (error instanceof InvalidCursorError) return new ProblemError("invalid-argument", error.message)
  if (error instanceof ConflictError) return new ProblemError("conflict", "others keep changing this; try again")
  return undefined
}

function overloaded(detail: string, retryAfterMs: number): ProblemError {
  return new ProblemError("overloaded", detail, { headers: { "retry-after": String(Math.ceil(retryAfterMs / 1_000)) } })
}

function fromFastify(error: unknown): ProblemError | undefined {
  const { code, statusCode, message } = error as FastifyErrorLike
  if (typeof code !== "string" || !code.startsWith("FST_")) return undefined
  switch (code) {
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return unsupportedType()
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return bodyTooLarge()
    default:
      return statusCode !== undefined && statusCode < 500 ? new ProblemError("invalid-argument", message) : undefined
  }
}
