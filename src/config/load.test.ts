import fc from "fast-check"
import { describe, expect, expectTypeOf, test } from "vitest"
import { type LoadedSettings, loadSettings, type SettingsSources } from "./load.ts"
import { type Setting, type Settings, settingsList } from "./schema.ts"
import { formatValue } from "./value.ts"

const nothing: SettingsSources = { flags: {}, env: {}, readFile: () => undefined }

function load(sources: Partial<SettingsSources> = {}): LoadedSettings {
  return loadSettings({ ...nothing, ...sources })
}

function settingsOf(loaded: LoadedSettings): Settings {
  if (loaded.kind === "faults") throw new Error(JSON.stringify(loaded.faults))
  return loaded.settings
}

function faultsOf(loaded: LoadedSettings): readonly string[] {
  return loaded.kind === "faults" ? loaded.faults.map(({ where, message }) => `${where}: ${message}`) : []
}

function file(text: string, path = "./redcar.yaml"): Pick<SettingsSources, "readFile"> {
  return { readFile: (asked) => (asked === path ? text : undefined) }
}

test("the defaults are complete and agree with each other", () => {
  const settings = settingsOf(load())
  expect(settings).toMatchObject({
    host: "127.0.0.1",
    port: 9000,
    data: "./data",
    engine: "embedded",
    topicsAutoCreate: true,
    dedupeWindowMs: 86_400_000,
    limits: { eventBytesMax: 524_288 },
    delivery: { leaseMs: 60_000, shutdownGraceMs: 10_000 },
    destinations: { allowLoopback: true, allowPrivate: false, allow: [] },
  })
  expectTypeOf(settings.delivery.leaseMs).toEqualTypeOf<number>()
  expectTypeOf(settings.logFormat).toEqualTypeOf<"auto" | "pretty" | "json">()
  expectTypeOf(settings.destinations.allow).toEqualTypeOf<readonly string[]>()
})

/** A value of the setting as its writer would write it, other than the default where there is one. */
/** Settings whose text has a form. */
const forms: Readonly<Record<string, readonly string[]>> = {
  engine: ["embedded", "nats://a:4222", "nats://a:4222,tls://b:4222"],
  roles: ["ingest,route,deliver,api", "api,ingest,deliver,route"],
  adminKey: [`rck_${"a".repeat(43)}`, `rck_${"-_".repeat(21)}9`],
  "delivery.tenants": ["acme weight=4", "acme inFlightMax=5 ratePerSecond=7, * weight=2"],
  "destinations.origin": ["hub.example.com", "hub"],
  publicUrl: ["https://hub.example.com", "http://127.0.0.1:9000", "https://example.com/hub"],
  "nats.prefix": ["hub", "r2"],
  "nats.replicas": ["1", "3", "5"],
}

function textOf(setting: Setting): fc.Arbitrary<string> {
  if (setting.name in forms) return fc.constantFrom(...forms[setting.name]!)
  if (setting.unit === "boolean") return fc.constantFrom("true", "false")
  if (setting.choices !== undefined) return fc.constantFrom(...setting.choices)
  if (setting.unit === "list") return fc.constantFrom("10.0.0.0/8", "10.0.0.0/8, fd00::/8", "192.168.1.1")
  if (setting.unit === "text") return fc.constantFrom("localhost", "0.0.0.0", "/srv/redcar")
  return fc
    .integer({ min: setting.minimum!, max: setting.maximum! })
    .map((value) => (setting.unit === "count" ? String(value) : formatValue(setting, value)))
}

const independent = settingsList.filter(({ name }) => !name.startsWith("limits."))
const sourceTexts = fc.record({ flag: fc.boolean(), env: fc.boolean(), file: fc.boolean() })

describe("precedence", () => {
  test.each(independent.map((setting) => [setting.name, setting] as const))(
    "%s: flag, then environment, then file, then default",
    (_, setting) => {
      fc.assert(
        fc.property(sourceTexts, fc.array(textOf(setting), { minLength: 3, maxLength: 3 }), (given, [a, b, c]) => {
          const [group, key] = setting.name.split(".")
          const content = key === undefined ? { [group!]: c } : { [group!]: { [key]: c } }
          const all = settingsOf(
            load({
              flags: given.flag ? { [setting.name]: a! } : {},
              env: given.env ? { [setting.variable]: b! } : {},
              ...(given.file ? file(JSON.stringify(content)) : {}),
            }),
          )
          const winner = given.flag ? a : given.env ? b : given.file ? c : undefined
          const alone = settingsOf(load(winner === undefined ? {} : { flags: { [setting.name]: winner } }))
          expect(all).toEqual(alone)
        }),
        { numRuns: 25 },
      )
    },
  )

  test("a flag reaches the place in Settings that its path names", () => {
    const loaded = load({ flags: { "delivery.lease": "5s", "limits.eventBytesMax": "64KiB" } })
    expect(settingsOf(loaded)).toMatchObject({ delivery: { leaseMs: 5_000 }, limits: { eventBytesMax: 65_536 } })
  })

  test("origins say where each setting came from", () => {
    const loaded = load({ flags: { port: "1" }, env: { REDCAR_PORT: "2", REDCAR_HOST: "::1" }, ...file("data: d") })
    expect(loaded.kind === "settings" && Object.fromEntries(loaded.origins)).toEqual({
      data: "./redcar.yaml: data",
      host: "REDCAR_HOST",
      port: "--port",
    })
  })
})

describe("the file", () => {
  test("YAML with groups, empty groups and typed values", () => {
    const yaml =
      "port: 0\ntopicsAutoCreate: false\nlimits:\ndelivery:\n  lease: 5m\ndestinations:\n  allow:\n    - 10.0.0.0/8\n"
    expect(settingsOf(load(file(yaml)))).toMatchObject({
      port: 0,
      topicsAutoCreate: false,
      delivery: { leaseMs: 300_000 },
      destinations: { allow: ["10.0.0.0/8"] },
    })
  })

  test("JSON is read as well, and an empty file says nothing", () => {
    expect(settingsOf(load(file('{"port": 8080}')))).toMatchObject({ port: 8080 })
    expect(settingsOf(load(file("# nothing yet\n")))).toEqual(settingsOf(load()))
  })

  test("--config is read instead of the default file, and so is REDCAR_CONFIG", () => {
    const other = file("port: 1234", "/etc/redcar.yaml")
    expect(settingsOf(load({ flags: { config: "/etc/redcar.yaml" }, ...other })).port).toBe(1234)
    expect(settingsOf(load({ env: { REDCAR_CONFIG: "/etc/redcar.yaml" }, ...other })).port).toBe(1234)
  })

  test("a named file that is not there is refused; the default one may be missing", () => {
    expect(faultsOf(load({ flags: { config: "nope.yaml" } }))).toEqual([
      "nope.yaml: there is no such file: name another with --config, or leave it out",
    ])
  })

  test("broken YAML is named with its place", () => {
    expect(faultsOf(load(file("port: 9000\nhost: [")))[0]).toMatch(/^\.\/redcar\.yaml: is not valid YAML at line 2/)
    expect(faultsOf(load(file("port: 1\nport: 2")))[0]).toMatch(/line 2/)
    expect(faultsOf(load(file("- port")))[0]).toMatch(/has to hold settings by name/)
    expect(faultsOf(load(file("delivery: 5s")))[0]).toBe(
      './redcar.yaml: delivery: has to hold settings by name, not "5s"',
    )
  })
})

describe("what is refused", () => {
  const wrong: [string, Partial<SettingsSources>, RegExp][] = [
    ["an unknown flag", { flags: { prot: "1" } }, /^--prot: there is no setting prot; did you mean port\?$/],
    ["an unknown variable", { env: { REDCAR_PRT: "1" } }, /did you mean REDCAR_PORT\?$/],
    ["an unknown file setting", file("delivery:\n  leaze: 5s"), /delivery\.leaze; did you mean delivery\.lease\?$/],
    ["the name that Settings uses", file("dedupeWindowMs: 5"), /did you mean dedupeWindow\?$/],
    ["a name like no other", { env: { REDCAR_FAVOURITE_COLOUR: "1" } }, /`redcar help settings` lists them$/],
    ["a port out of range", { flags: { port: "65536" } }, /^--port: "65536" has to be from 0 to 65535$/],
    ["a port that is a word", { env: { REDCAR_PORT: "http" } }, /^REDCAR_PORT: "http" is not a whole number$/],
    ["a negative size", { flags: { "limits.bodyBytesMax": "-1" } }, /is not a size/],
    ["an event limit above 1 MiB", { flags: { "limits.eventBytesMax": "2MiB" } }, /from 1KiB to 1MiB$/],
    ["a duration without sense", { flags: { "delivery.lease": "soon" } }, /is not a duration: write "500ms"/],
    ["a boolean that is a word", { flags: { metricsOpen: "maybe" } }, /is neither true nor false$/],
    ["an unknown engine", { flags: { engine: "nats" } }, /"nats" is no NATS server: say nats:/],
    ["an unknown level", { flags: { logLevel: "loud" } }, /has to be one of trace, debug,/],
    ["an empty host", { flags: { host: "" } }, /needs a text$/],
    ["a list of numbers", file("destinations:\n  allow: [10]"), /has to be a list of texts/],
    ["a range that is none", { flags: { "destinations.allow": "10.0.0.0/33" } }, /no address range/],
    ["a public URL that is none", { flags: { publicUrl: "hub.example.com" } }, /no URL that others can call/],
    ["a public URL with a password", { flags: { publicUrl: "https://a:b@hub.example.com" } }, /no URL that others/],
    [
      "a public URL that is written otherwise",
      { flags: { publicUrl: "https://Hub.example.com:443/" } },
      /is written https:\/\/hub\.example\.com here/,
    ],
    ["an origin that is a URL", { flags: { "destinations.origin": "https://hub.example.com" } }, /no DNS name/],
  ]

  test.each(wrong)("%s", (_, sources, message) => {
    const faults = faultsOf(load(sources))
    expect(faults).toHaveLength(1)
    expect(faults[0]).toMatch(message)
  })

  test("everything wrong is named at once, a value that a stronger source replaces included", () => {
    const faults = faultsOf(load({ flags: { port: "x", host: "h" }, env: { REDCAR_PORT: "y" }, ...file("a: 1") }))
    expect(faults).toHaveLength(3)
  })

  test("limits that contradict each other, with what to do and who said so", () => {
    expect(faultsOf(load({ flags: { "limits.bodyBytesMax": "256KiB" } }))).toEqual([
      "limits.eventBytesMax (by default), --limits-body-bytes-max: limits.eventBytesMax is 512KiB and " +
        "limits.bodyBytesMax 256KiB, but the largest event has to fit in a request: lower limits.eventBytesMax to " +
        "256KiB or raise limits.bodyBytesMax to 512KiB",
    ])
  })

  test("following either advice resolves a contradiction", () => {
    const limit = settingsList.filter(({ name, unit }) => name.startsWith("limits.") && unit === "bytes")
    const sizes = fc.record(
      Object.fromEntries(
        limit.map((each) => [each.name, fc.integer({ min: each.minimum!, max: Math.min(each.maximum!, 2 ** 28) })]),
      ),
    )
    fc.assert(
      fc.property(sizes, fc.boolean(), (drawn, lower) => {
        const flags = Object.fromEntries(Object.entries(drawn).map(([name, value]) => [name, `${value}B`]))
        for (let step = 0; step < 20; step++) {
          const [fault] = faultsOf(load({ flags }))
          if (fault === undefined) return
          const advice = /lower (\S+) to (\S+) or raise (\S+) to (\S+)$/.exec(fault)
          expect(advice).not.toBeNull()
          flags[advice![lower ? 1 : 3]!] = advice![lower ? 2 : 4]!
        }
        throw new Error("the advice leads nowhere")
      }),
      { numRuns: 100 },
    )
  })
})

describe("variables that are no settings", () => {
  test("the CLI's own are passed over", () => {
    expect(load({ env: { REDCAR_URL: "http://hub", REDCAR_KEY: "rck_x", PATH: "/bin" } })).toEqual(load())
  })

  test("what Kubernetes injects beside a service called redcar is passed over", () => {
    const env = {
      REDCAR_SERVICE_HOST: "10.0.0.1",
      REDCAR_SERVICE_PORT: "9000",
      REDCAR_SERVICE_PORT_HTTP: "9000",
      REDCAR_PORT: "tcp://10.0.0.1:9000",
      REDCAR_PORT_9000_TCP: "tcp://10.0.0.1:9000",
      REDCAR_PORT_9000_TCP_PROTO: "tcp",
      REDCAR_PORT_9000_TCP_PORT: "9000",
      REDCAR_PORT_9000_TCP_ADDR: "10.0.0.1",
    }
    expect(load({ env })).toEqual(load())
  })
})

test.each([
  ["127.0.0.1", true],
  ["127.8.8.8", true],
  ["localhost", true],
  ["::1", true],
  ["[::1]", true],
  ["0.0.0.0", false],
  ["::", false],
  ["127.0.0.1.example.com", false],
])("destinations on loopback are allowed by default when host is %s: %s", (host, allowed) => {
  expect(settingsOf(load({ flags: { host } })).destinations.allowLoopback).toBe(allowed)
  const said = { host, "destinations.allowLoopback": String(!allowed) }
  expect(settingsOf(load({ flags: said })).destinations.allowLoopback).toBe(!allowed)
})

test.each([99, 100, 101, 2_000])("%i unknown settings hide no wrong one, and are all told", (count) => {
  const strangers = Array.from({ length: count }, (_, n) => `stranger${n}: 1`)
  const faults = faultsOf(load(file([...strangers, "port: x", "__proto__: 1", "delivery: {lease: soon}"].join("\n"))))
  expect(faults).toHaveLength(count + 3)
  for (const name of ["port", "__proto__", "delivery.lease", "stranger0", `stranger${count - 1}`]) {
    expect(faults.some((fault) => fault.startsWith(`./redcar.yaml: ${name}: `))).toBe(true)
  }
})
