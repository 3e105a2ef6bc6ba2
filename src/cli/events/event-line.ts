import { shortened } from "../table.ts"
import { type Colours, printable, type Terminal } from "../terminal.ts"

/** A structured CloudEvent, with where and when it was stored. */
export interface ApiEvent {
  readonly id: string
  readonly source: string
  readonly type: string
  readonly subject?: string
  readonly redcartime?: string
  readonly data?: unknown
  readonly data_base64?: string
}

/** An event on one line, for people: what it is, and as much of its data as there is room for. */
export function eventLine(event: ApiEvent, terminal: Terminal, colours: Colours): string {
  const time = event.redcartime === undefined ? "" : localTime(event.redcartime)
  const head = [
    time,
    printable(event.type),
    printable(event.source),
    printable(event.subject ?? ""),
    printable(event.id),
  ]
  const data = dataText(event)
  const used = head.filter((part) => part !== "").join("  ").length + 2
  const room = terminal.columns === undefined ? undefined : Math.max(0, terminal.columns - used)
  const [when, type, source, subject, id] = head as [string, string, string, string, string]
  const painted = [colours.dim(when), colours.bold(type), source, colours.cyan(subject), colours.dim(id)]
  const shown = painted.filter((_, i) => head[i] !== "")
  const end = room === undefined ? data : shortened(data, room)
  return `${[...shown, ...(end === "" || room === 0 ? [] : [end])].join("  ")}\n`
}

function dataText(event: ApiEvent): string {
  if (event.data_base64 !== undefined) return `(${Math.floor((event.data_base64.length * 3) / 4)} bytes)`
  if (event.data === undefined) return ""
  return printable(typeof event.data === "string" ? event.data : JSON.stringify(event.data))
}

function localTime(text: string): string {
  const time = new Date(text)
  const two = (value: number, width = 2) => String(value).padStart(width, "0")
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${two(time.getMilliseconds(), 3)}`
}
