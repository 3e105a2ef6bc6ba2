import { type DestinationStream, destination, type Logger, pino, stdSerializers } from "pino"
import {
  AssignmentLostError,
  ClosedError,
  ConflictError,
  DamagedError,
  LeaseLostError,
  OverloadError,
  PublishRefusedError,
  StorageError,
  StorageFullError,
} from "../core/errors.ts"

/** The hub's log: `log.info({ topic }, "topic made")`. */
export type Log = Logger

export interface LogOptions {
  readonly level: "trace" | "debug" | "info" | "warn" | "error" | "silent"
  /** `auto`: pretty on a terminal, JSON lines elsewhere. */
  readonly format: "auto" | "pretty" | "json"
  /** Where lines go, and whether a person looks at it; default: standard output. */
  readonly to?: DestinationStream
  readonly isTerminal?: boolean
}

/** What never appears in a log line, wherever it hangs. */
const secrets = ["authorization", "secret", "apiKey", "signingKeys", "auth", "clientSecret", "clientKey"].flatMap(
  (name) => [name, `*.${name}`, `*.*.${name}`],
)

/** Opens the log. Each line is written before the call that made it returns, so that a crash loses none. */
export async function openLog(options: LogOptions): Promise<Log> {
  const isTerminal = options.isTerminal ?? process.stdout.isTTY === true
  const pretty = options.format === "pretty" || (options.format === "auto" && isTerminal)
  const to = options.to ?? destination({ fd: 1, sync: true })
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secrets, censor: "***" },
      serializers: { err: told },
    },
    pretty ? await prettyStream(to, isTerminal) : to,
  )
}

/** What happens in the best of hubs and passes, or is somebody else's doing: where in the code it was noticed says nothing. */
const expected = [
  ClosedError,
  ConflictError,
  DamagedError,
  LeaseLostError,
  OverloadError,
  PublishRefusedError,
  AssignmentLostError,
  StorageError,
  StorageFullError,
]

/** What a line says of an error: all of it where it may be a bug, else what has happened. */
function told(error: unknown): unknown {
  if (!expected.some((kind) => error instanceof kind)) return stdSerializers.err(error as Error)
  const { message, cause } = error as Error
  return {
    type: (error as Error).constructor.name,
    message,
    ...(cause instanceof Error && cause.message !== message && { cause: cause.message }),
  }
}

/** pino-pretty is loaded only here: it costs more than the rest of the log together. */
async function prettyStream(to: DestinationStream, isTerminal: boolean): Promise<DestinationStream> {
  const { default: pinoPretty } = await import("pino-pretty")
  const colorize = isTerminal && process.env.NO_COLOR === undefined
  const format = pinoPretty.prettyFactory({ colorize, translateTime: "SYS:HH:MM:ss.l", singleLine: true })
  return { write: (line) => to.write(format(line)) }
}
