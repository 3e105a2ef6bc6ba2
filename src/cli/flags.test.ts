import type { Command, Option } from "commander"
import { beforeAll, expect, test } from "vitest"
import { settingsList } from "../config/schema.ts"
import { createContext } from "./main.ts"
import { recordedTerminal } from "./terminal.fixture.ts"

/**
 * What each flag means, wherever it is: one name for one thing, and one thing under one name. A flag that is added gets a line
 * here; one that is here has to mean on the new command what it says here. `value` is its placeholder in the help.
 */
const meanings: Readonly<Record<string, readonly [value: string, means: string]>> = {
  absent: ["<what>", "what becomes of a run at a time that does not come"],
  all: ["", "everything of what the command is about"],
  audit: ["", "read and check all that is stored"],
  backlog: ["<what>", "what becomes of what is owed already"],
  batch: ["<count>", "events a request"],
  concurrency: ["<count>", "so many at once"],
  commit: ["", "what was printed is dealt with"],
  config: ["<file>", "a file of settings"],
  consumer: ["<name>", "a consumer of NATS"],
  "content-type": ["<type>", "what the data of an event is"],
  count: ["<count>", "so many are shown"],
  cron: ["<expression>", "when a schedule runs"],
  cursor: ["<cursor>", "a stored event"],
  data: ["<directory>", "a hub's data directory"],
  dataschema: ["<uri>", "the schema of an event's data"],
  "dead-reason": ["<reason>", "why deliveries were given up"],
  "dedupe-window": ["<duration>", "how long repeated events are recognised"],
  delay: ["<duration>", "how long an event is kept back"],
  "deliver-at": ["<time>", "until when an event is kept back"],
  description: ["<text>", "what a resource is for"],
  "dead-letter": ["<what>", "what a dead letter is to those behind it"],
  destination: ["<id>", "a destination"],
  directory: ["<directory>", "where NATS servers keep their data"],
  "dry-run": ["", "say what would be done, and do nothing"],
  epoch: ["<count>", "how often a subscription was reset"],
  event: ["<file>", "an event that is not stored"],
  "event-data": ["<json>", "the data of a schedule's events"],
  events: ["<count>", "how many events are made"],
  "events-max": ["<count>", "at most so many events are read or shown"],
  exact: ["<attribute=value>", "a filter"],
  expected: ["<cursor>", "only if a subscription still stands there"],
  "expected-last": ["<cursor>", "only if this is the last event"],
  expires: ["<duration>", "when something ends"],
  explain: ["", "also why not"],
  extension: ["<name=value>", "an attribute of an event"],
  file: ["<path>", "what is to be sent, from a file"],
  filter: ["<json>", "a filter"],
  filters: ["<json>", "filters"],
  follow: ["", "go on at the present end"],
  force: ["", "though something uses it"],
  format: ["<format>", "how a file that is read is written"],
  from: ["<place>", "where to begin"],
  id: ["<id>", "an event's id"],
  "if-match": ["<etag>", "only if it is still at this etag"],
  interval: ["<duration>", "from one run of a schedule to the next"],
  json: ["", "JSON, for programs"],
  key: ["<key>", "a key that the hub accepts"],
  kind: ["<kind>", "a kind of destination"],
  label: ["<name=value>", "a label of a resource"],
  limit: ["<count>", "at most so many are printed"],
  listen: ["<host:port>", "where NATS servers listen"],
  missed: ["<what>", "what becomes of runs for which no hub was there"],
  "not-after": ["<time>", "no run of a schedule after this"],
  "not-before": ["<time>", "no run of a schedule before this"],
  out: ["<path>", "a file or directory that is written"],
  "order-by": ["<key>", "what makes an order of events"],
  output: ["<format>", "how what is printed is written"],
  overlap: ["<duration>", "how long old and new are good"],
  patch: ["<json>", "what is different of an event"],
  path: ["<attribute=pattern>", "a filter"],
  pattern: ["<json>", "a filter"],
  paused: ["", "made paused"],
  prefix: ["<attribute=value>", "a filter"],
  query: ["<line>", "a filter"],
  rate: ["<count>", "deliveries per second"],
  reason: ["<reason>", "why it is done"],
  rebuild: ["", "make the state anew"],
  "retention-age": ["<duration>", "how long events are kept"],
  "retention-bytes": ["<size>", "how many bytes are kept"],
  "retention-dead-letters": ["<what>", "what becomes of events that dead letters are of"],
  "retention-undelivered": ["<what>", "what becomes of events that are still owed"],
  "retention-events": ["<count>", "how many events are kept"],
  "reply-topic": ["<topic>", "where the events go that a destination answers with"],
  revoke: ["", "what was given out before counts no more"],
  "retention-rules": ["<json>", "limits of events that match filters"],
  retry: ["<preset>", "a retry policy"],
  "retry-age-max": ["<duration>", "no attempt after this long"],
  "retry-attempts-max": ["<count>", "attempts at most"],
  "retry-delays": ["<durations>", "delays between attempts"],
  "retry-jitter": ["<share>", "by how much delays are shortened"],
  "retry-rule": ["<rule>", "what follows from a failure"],
  "sample-max": ["<count>", "examples shown at most"],
  server: ["<name=host>", "a NATS server"],
  set: ["<name=value>", "a field of a destination's configuration"],
  size: ["<size>", "bytes of one event"],
  skip: ["<count>", "leave out the first"],
  source: ["<uri>", "an event's source"],
  sql: ["<expression>", "a filter"],
  start: ["<place>", "where events of a trigger or a subscription begin"],
  state: ["<state>", "only those in this state"],
  subject: ["<text>", "an event's subject"],
  suffix: ["<attribute=value>", "a filter"],
  time: ["<time>", "an event's time"],
  "time-zone": ["<name>", "where a schedule's times are read"],
  to: ["<place>", "where something goes"],
  topic: ["<topic>", "a topic, or one key of it"],
  trigger: ["<id>", "a trigger"],
  twice: ["<which>", "which is meant of an hour that comes twice"],
  type: ["<type>", "an event's type"],
  until: ["<place>", "where to end"],
  url: ["<url>", "where the hub is"],
  "verify-only": ["", "compare, and copy nothing"],
  version: ["", "Redcar's version"],
  work: ["<directory>", "where notes are kept"],
  "wrap-source": ["<uri>", "the source of events made of raw input"],
  "wrap-type": ["<type>", "the type of events made of raw input"],
  exec: ["<command>", "a command for the shell"],
  "retry-after": ["<duration>", "when something is tried again"],
  lease: ["<duration>", "how long somebody has a delivery"],
  max: ["<count>", "so many at most"],
  "wait-for": ["<duration>", "wait so long"],
  result: ["<result>", "how it ended"],
  after: ["<duration>", "when something comes again"],
  by: ["<duration>", "how much longer"],
  wait: ["", "until it is over"],
  yes: ["", "do not ask"],
}

/** Settings have flags of their own, wherever they are: `redcar help settings` says what each means. */
const settings = new Map(settingsList.map((setting) => [setting.flag.slice(2), setting]))

interface Flag {
  readonly command: string
  readonly option: Option
  readonly name: string
}

let flags: readonly Flag[]

function flagsOf(command: Command, path: readonly string[]): readonly Flag[] {
  const own = command.options.map((option) => ({
    command: path.join(" "),
    option,
    name: option.long!.replace(/^--(no-)?/, ""),
  }))
  return [...own, ...command.commands.flatMap((child) => flagsOf(child, [...path, child.name()]))]
}

beforeAll(async () => {
  flags = flagsOf(await createContext(recordedTerminal().terminal).program("all"), [])
})

test("every flag has one meaning, and takes the same kind of value everywhere", () => {
  const wrong = flags.flatMap(({ command, option, name }) => {
    const setting = settings.get(name)
    if (setting !== undefined && !Object.hasOwn(meanings, name)) return []
    if (setting !== undefined && option.description.startsWith(setting.description)) return []
    const value = /[<[].*$/.exec(option.flags)?.[0] ?? ""
    const expected = meanings[name]?.[0]
    return value === expected ? [] : [`${command} --${name} ${value}: in the table ${expected ?? "it is not"}`]
  })
  expect(wrong).toEqual([])
})

test("no two flags of a command have one short name, and a short name is of one flag everywhere", () => {
  const shorts = new Map<string, Set<string>>()
  for (const { option, name } of flags) {
    if (option.short === undefined) continue
    shorts.set(option.short, (shorts.get(option.short) ?? new Set()).add(name))
  }
  expect([...shorts].filter(([, names]) => names.size > 1)).toEqual([])
})

test("--url is the hub's on every command that asks one, and no flag that gives a hub is called otherwise", () => {
  const urls = flags.filter(({ name }) => name === "url")
  expect(urls.length).toBeGreaterThan(30)
  expect(new Set(urls.map(({ option }) => option.description)).size).toBe(1)
  expect(flags.filter(({ name }) => name === "hub")).toEqual([])
})
