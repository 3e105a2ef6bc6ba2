import { type DestinationStream, destination, type Logger, pino } from "pino"

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
const secrets = ["authorization", "secret", "apiKey", "signingKeys"].flatMap((name) => [
  name,
  `*.${name}`,
  `*.*.${name}`,
])

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
    },
    pretty ? await prettyStream(to, isTerminal) : to,
  )
}

/** pino-pretty is loaded only here: it costs more than the rest of the log together. */
async function prettyStream(to: DestinationStream, isTerminal: boolean): Promise<DestinationStream> {
  const { default: pinoPretty } = await import("pino-pretty")
  const colorize = isTerminal && process.env.NO_COLOR === undefined
  const format = pinoPretty.prettyFactory({ colorize, translateTime: "SYS:HH:MM:ss.l", singleLine: true })
  return { write: (line) => to.write(format(line)) }
}
