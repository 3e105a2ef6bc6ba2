import type { Command, Option } from "commander"
import { nearest } from "../config/nearest.ts"
import type { Problem } from "./failures.ts"
import { type FilterOptions, filterFlags } from "./filter-flags.ts"

/** A problem as the command line tells it: in flags, arguments and commands, where the API has fields, paths and routes. */
export interface Worded {
  readonly message: string
  /** One line each, where several things are wrong. */
  readonly lines: readonly string[]
  readonly next: readonly string[]
}

/** Words a problem for who has run `command`; undefined: it is not known which. */
export function wordsOf(problem: Problem, command: Command | undefined): Worded {
  const found = (problem.errors ?? []).map(({ field, message }) => {
    const { text, next } = detailOf(message)
    return { line: said(nameOf(field, command), text), next: [...meant(field, message), ...next] }
  })
  const faults = found.map(({ line }) => line)
  const steps = found.flatMap((each) => each.next)
  if (problem.status !== 400 && faults.length > 0) return { message: problem.detail, lines: faults, next: steps }
  if (faults.length === 1) return { message: faults[0]!, lines: [], next: steps }
  if (faults.length > 1) return { message: `${faults.length} things are wrong`, lines: faults, next: steps }
  const { text, next } = detailOf(problem.detail)
  return { message: text, lines: [], next }
}

/** The field that was meant where there is none of that name. */
function meant(field: string, message: string): readonly string[] {
  const known = /is not known here; the fields are (.*)$/.exec(message)?.[1]?.split(", ") ?? []
  const near = nearest(field.replace(/^.*\./, ""), known)
  return near === undefined ? [] : [`Did you mean ${near}?`]
}

/** `--to is no URL`, and `--sql: line 1, column 8: …`; what names the thing by itself needs no name before it. */
function said(name: string, message: string): string {
  if (name === "" || /^(there is no|a topic's name|a key is) /.test(message)) return message
  return /^(is|must|cannot|can|has|have|are|was|needs|says) /.test(message)
    ? `${name} ${message}`
    : `${name}: ${message}`
}

/** Flags whose name does not follow from the field's. */
const flagOf: Readonly<Record<string, string>> = {
  "config.url": "to",
  "config.topic": "to",
  config: "set",
  ratePerSecond: "rate",
  "retention.ageMax": "retention-age",
  "retention.eventsMax": "retention-events",
  "retention.bytesMax": "retention-bytes",
  "retention.rules": "retention-rules",
  "retry.preset": "retry",
  "retry.rules": "retry-rule",
  labels: "label",
  expiresIn: "expires",
  "redcar-expected-last": "expected-last",
  datacontenttype: "content-type",
  "event.type": "type",
  "event.source": "source",
  "event.subject": "subject",
  "event.data": "event-data",
  "event.dataContentType": "content-type",
  "event.extensions": "extension",
  end: "not-after",
}

/** Flags of fields that have another one elsewhere. */
const otherFlagOf: Readonly<Record<string, string>> = { start: "not-before", event: "type" }

/** What on the command line said a field: a flag, an argument; the field itself where nothing did. */
function nameOf(named: string, command: Command | undefined): string {
  if (command === undefined || named === "") return named
  const field = ownRule(named, command)
  const filter = /^filters\[(\d+)\](.*)$/.exec(field)
  if (filter !== null) return filterName(Number(filter[1]), filter[2]!, command) ?? field
  // Ends: with the path, of which each turn takes a step off.
  for (let path = field; path !== ""; path = path.replace(/(^|[.[])[^.[]*$/, "")) {
    const usual = flagOf[path] ?? kebab(path.replaceAll(/\[.*?\]/g, "").replace(/^config\./, ""))
    const has = (flag: string | undefined) => command.options.find(({ long }) => long === `--${flag}`)
    const name = has(usual) === undefined && has(otherFlagOf[path]) !== undefined ? otherFlagOf[path]! : usual
    const option = has(name)
    const set = command.getOptionValue("set") as Readonly<Record<string, string>> | undefined
    if (path.startsWith("config.") && set !== undefined && Object.hasOwn(set, path.slice("config.".length)))
      return `--set ${path.slice(7)}${within(field, path)}`
    // A kind's flags are those of the configuration's own members; what is in one of these was said as JSON.
    const isOfKind = /^config\.[^.[]+$/.test(path)
    if (option !== undefined || isOfKind) {
      const isSaid = isSaidBy(command, name, option)
      const file: unknown = command.getOptionValue("file")
      if (typeof file === "string" && !isSaid) return `${field} in ${file}`
      if (name === "retention-rules") return `--${name}${within(field, "retention.rules")}`
      return `--${name}${isOfKind ? within(field, path) : ""}`
    }
    if (command.registeredArguments.some((argument) => argument.name() === name)) return `<${name}>`
  }
  return field
}

/** ` oidc.audience` of `config.auth.oidc.audience` in `config.auth`. */
function within(field: string, path: string): string {
  const rest = field.slice(path.length).replace(/^\./, "")
  return rest === "" ? "" : ` ${rest}`
}

/** Whether the command line has the flag; one of a destination's kind is no option of the command. */
function isSaidBy(command: Command, name: string, option: Option | undefined): boolean {
  if (option !== undefined) return command.getOptionValue(option.attributeName()) !== undefined
  return command.args.some((word) => word === `--${name}` || word.startsWith(`--${name}=`))
}

/** What flags of filters say of a retention is its first rule. */
function ownRule(field: string, command: Command): string {
  const rule = /^retention\.rules\[0\](?:\.(filters\b)?|$)/.exec(field)
  if (rule === null || filterFlags(command.opts<FilterOptions>()).length === 0) return field
  if (rule[0] === field) return "filters[0]"
  return `${rule[1] ?? "retention."}${field.slice(rule[0].length)}`
}

/** `--exact type` for `filters[0].exact.type`. */
function filterName(index: number, rest: string, command: Command): string | undefined {
  const said = filterFlags(command.opts<FilterOptions>())[index]
  if (said === undefined) return undefined
  const within = rest.replace(/^\.(exact|prefix|suffix|path|sql|query|pattern)(\.|$)?/, "")
  const inFull = said === "--filter" || said === "--filters"
  const place = inFull ? rest.replace(/^\./, "") : within
  return place === "" ? said : `${said} ${place.replace(/^\["(.*)"\]$/, "$1")}`
}

function kebab(path: string): string {
  return path.replaceAll(".", "-").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

type Rule = readonly [pattern: RegExp, instead: string, next?: string]

/** What answers say to clients of the API, and what is to be said here. */
const rules: readonly Rule[] = [
  [/; GET \/v1\/delayed lists what waits$/, "", "See what waits: redcar event delayed"],
  [/; GET \/v1\/([a-z-]+)s lists what there is$/, "", "List what there is: redcar $1 list"],
  [
    /^(there is a (\w+) "([^"]*)" already); choose another id, or PUT it$/,
    "$1",
    "Choose another id, or change it: redcar $2 update $3",
  ],
  [
    /^(\w+) (\S+) is at another revision than If-Match names;.*$/,
    "$1 $2 has changed: it is not at the etag of --if-match any more",
    "Look at it again, and repeat the change on that: redcar $1 get $2",
  ],
  [
    /; make it first with POST \/v1\/topics, or set topicsAutoCreate$/,
    "",
    "Make it first: redcar topic create <topic>. Or let the hub: redcar serve --topics-auto-create",
  ],
  [/; make it again with POST \/v1\/topics first$/, "", "Make it again: redcar topic create <topic>"],
  [/; change it instead$/, "", "Change it: redcar topic update <topic>"],
  [
    /; one that starts before the event, at .*, delivers it again \(it is at (\S+)\)$/,
    "",
    "Make one that starts before the event, which is at $1: redcar trigger create … --start <place>",
  ],
  [/^send (a|the) key of this hub\b.*$/, "the hub does not know the key"],
  [/"([\w.:-]+)" is no cursor of this hub: .*$/, "$&", "If it is an event's id: redcar event find $1"],
  [/ is no cursor of this hub: .*$/, "$&", "If it is an event's id: redcar event find <id>"],
  [/\(backlog "move" (.*), or delete it with force=true: (.*)$/, "(--backlog move $1, or delete it with --force: $2"],
  [/; shorten retry\.ageMax first$/, "", "Shorten that first: redcar trigger update <id> --retry-age-max <duration>"],
  [/needs the setting publicUrl\b.*$/, "$&", "Set it: redcar serve --public-url https://hub.example.com"],
  [/\bconfig\.url (?=goes to another)/, "--to "],
  [/; correct what errors names and send it again$/, ""],
]

function detailOf(detail: string): { readonly text: string; readonly next: readonly string[] } {
  for (const [pattern, instead, next] of rules) {
    const match = pattern.exec(detail)
    if (match === null) continue
    const filled = (text: string) =>
      text.replace("$&", match[0]).replace(/\$(\d)/g, (_, number: string) => match[Number(number)] ?? "")
    return {
      text: detail.slice(0, match.index) + filled(instead) + detail.slice(match.index + match[0].length),
      next: next === undefined ? [] : [filled(next)],
    }
  }
  return { text: detail, next: [] }
}
